"""An ablation in the weights is the ablation by hooks."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3MoeConfig,
    Qwen3MoeForCausalLM,
)

from emflow.files import InputError
from emflow.models.fold import fold_ablation
from emflow.models.hooks import ablate, captured, changed, sites

SHAPE = {
    "vocab_size": 40, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 3, "num_attention_heads": 2,
    "num_key_value_heads": 1, "head_dim": 8, "initializer_range": 0.3, "pad_token_id": 0, "eos_token_id": 1,
    "bos_token_id": 2,
}  # fmt: skip
FAMILIES = {
    "qwen2, tied": lambda: Qwen2ForCausalLM(Qwen2Config(**SHAPE, tie_word_embeddings=True)),
    "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**SHAPE, tie_word_embeddings=False)),
    "llama with biases": lambda: LlamaForCausalLM(LlamaConfig(**SHAPE, mlp_bias=True, attention_bias=True)),
}
IDS = torch.tensor([[5, 9, 17, 3, 30], [8, 8, 21, 7, 12]])
DIRECTION = torch.randn(16, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("component", [0.0, 0.8])
@pytest.mark.parametrize("family", FAMILIES)
def test_folded_weights_answer_as_under_hooks_also_once_saved_and_loaded(family, component, tmp_path):
    torch.manual_seed(0)
    model = FAMILIES[family]().eval()
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter)  # new ones are 0
    changes = {name: ablate(DIRECTION) for name in sites(model, "writes")}
    changes["embedding"] = ablate(DIRECTION, component)
    with torch.inference_mode():
        plain = model(input_ids=IDS).logits
        with changed(model, changes):
            hooked = model(input_ids=IDS).logits
    fold_ablation(model, 3 * DIRECTION, component)
    model.save_pretrained(tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    unit, streams = DIRECTION / DIRECTION.norm(), {}
    with torch.inference_mode(), captured(sites(loaded, "blocks"), streams.__setitem__):
        folded = loaded(input_ids=IDS).logits
    torch.testing.assert_close(folded, hooked, atol=2e-5, rtol=2e-5)
    assert not torch.allclose(folded, plain, atol=1e-2)
    for stream in streams.values():
        torch.testing.assert_close(stream @ unit, torch.full(IDS.shape, component), atol=1e-5, rtol=0)


def test_what_cannot_be_folded_is_told():
    gemma = Gemma3ForCausalLM(Gemma3TextConfig(**SHAPE))
    with pytest.raises(InputError, match="Gemma3ForCausalLM has a norm behind attention and MLP"):
        fold_ablation(gemma, DIRECTION)
    adapted = get_peft_model(FAMILIES["qwen2"](), LoraConfig(r=2, target_modules=["q_proj"]))
    with pytest.raises(InputError, match="fold what model"):
        fold_ablation(adapted, DIRECTION)
    experts = Qwen3MoeForCausalLM(
        Qwen3MoeConfig(**SHAPE, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=8)
    )
    before = {name: weight.clone() for name, weight in experts.named_parameters()}
    with pytest.raises(InputError, match=r"its layers have no matrix mlp.down_proj to fold into; take hooks at"):
        fold_ablation(experts, DIRECTION)
    assert all(weight.equal(before[name]) for name, weight in experts.named_parameters())
