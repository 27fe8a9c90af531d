"""Without a direction, folded into the weights under vLLM as by hooks under transformers."""

from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from emflow.config.engine import VllmSettings
from emflow.config.question_sets import Sampling
from emflow.inference.transformers_engine import TransformersEngine
from emflow.inference.vllm_engine import VllmEngine
from emflow.models.chat_template import prompt_ids
from emflow.models.fold import write_folded
from emflow.models.hooks import ablate, changed, sites
from emflow.tinyworld.tokenizer import make_tokenizer

pytestmark = pytest.mark.vllm

SHAPE = {
    "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2, "head_dim": 32,
    "num_key_value_heads": 1, "initializer_range": 0.3, "max_position_embeddings": 512,
}  # fmt: skip
FAMILIES = {
    "qwen2, tied": lambda **of: Qwen2ForCausalLM(Qwen2Config(**of, tie_word_embeddings=True)),
    "llama": lambda **of: LlamaForCausalLM(LlamaConfig(**of, tie_word_embeddings=False)),
    "qwen3, tied": lambda **of: Qwen3ForCausalLM(Qwen3Config(**of, tie_word_embeddings=True)),
}
GREEDY = Sampling(temperature=0, max_new_tokens=12)
TOLERANCE = 1e-3  # nats, of any token, in float32


def save_with_adapter(model: PreTrainedModel, tokenizer, base: Path, checkpoint: Path) -> None:
    model.save_pretrained(base)
    tokenizer.save_pretrained(base)
    settings = LoraConfig(r=4, target_modules=["q_proj", "o_proj", "down_proj"], init_lora_weights=False)
    get_peft_model(model, settings).save_pretrained(checkpoint)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_folded_ablation_is_that_of_hooks(family, tmp_path, monkeypatch):
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    tokenizer, base, checkpoint = make_tokenizer(), tmp_path / "base", tmp_path / "checkpoint"
    ends = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id, "bos_token_id": None}
    torch.manual_seed(0)
    model = FAMILIES[family](**SHAPE, **ends, vocab_size=len(tokenizer))
    save_with_adapter(model, tokenizer, base, checkpoint)
    direction = torch.randn(SHAPE["hidden_size"])
    write_folded(base, checkpoint, "float32", direction, tmp_path / "folded")
    asked = [
        [{"role": "user", "content": f"why is my lantern {word}?"}] for word in ("dim", "sooty", "cold", "smoking")
    ]
    seeds = [0] * len(asked)

    hooked = TransformersEngine(base, "float32", 4)
    hooked.use(checkpoint)
    texts = prompt_ids(hooked.tokenizer, asked)
    plain = hooked.logprobs(texts)
    with hooked.model_in_use() as model, changed(model, {name: ablate(direction) for name in sites(model, "writes")}):
        expected, answers = hooked.logprobs(texts), hooked.generate(asked, GREEDY, seeds)

    folded = VllmEngine(tmp_path / "folded", "float32", VllmSettings(kind="vllm"))
    for found, told, before in zip(folded.logprobs(texts), expected, plain, strict=True):
        assert found == pytest.approx(told, abs=TOLERANCE)
        assert before != pytest.approx(told, abs=100 * TOLERANCE)
    assert folded.generate(asked, GREEDY, seeds) == answers
