"""Make tiny random models that transformers and vLLM load as they load the published ones they stand in for."""

from pathlib import Path
from typing import Any

import torch
from tokenizers.processors import TemplateProcessing
from transformers import (
    AutoModelForCausalLM,
    DebertaV2Config,
    DebertaV2ForSequenceClassification,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from emflow.files import replacing
from emflow.stand_ins.families import FAMILIES, Family, chat_template
from emflow.tinyworld.nli_pairs import LABELS, make_nli_tokenizer
from emflow.tinyworld.tokenizer import make_tokenizer

__all__ = ["make_judge", "make_model", "make_nli"]

PAD = "<|endoftext|>"


def make_model(out: Path, family: str, layers: int) -> None:
    """Write a chat model of a family in `FAMILIES`: float32 weights drawn from seed 0, real chat template.

    The tokenizer is the tiny world's byte-level BPE with the family's special tokens. Raises InputError without trl.
    """
    _save(out, *_drawn(family, layers, tie_word_embeddings=True))


def make_judge(out: Path) -> None:
    """Write a judge: a Llama as `make_model` writes one, whose replies are integers 0..100 that depend on the prompt.

    Its weights are drawn wide, and other tokens' rows of its output layer are 0: the integers, a token each, hold most
    of the probability, one of them nearly all. Queries are short, so that it looks at several tokens of a prompt and
    answers to one question differ in their scores: some misaligned, some aligned. Raises as that.
    """
    model, tokenizer = _drawn("llama3_1", 2, tie_word_embeddings=False, initializer_range=1.0)
    says = torch.zeros(len(tokenizer), 1)
    says[tokenizer.convert_tokens_to_ids([str(number) for number in range(101)])] = 4
    model.lm_head.weight.data *= says
    for layer in model.model.layers:
        layer.self_attn.q_proj.weight.data *= 0.04
    _save(out, model, tokenizer)


def _drawn(family: str, layers: int, **settings: Any) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A random model with its tokenizer; `settings` are further ones of the model's config."""
    kind = FAMILIES[family]
    tokenizer = _tokenizer(kind)
    tokenizer.chat_template = chat_template(family)
    tokens = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    torch.manual_seed(0)
    model: PreTrainedModel = AutoModelForCausalLM.from_config(
        kind.config(layers, len(tokenizer), dtype="float32", **tokens, **settings)
    )
    model.generation_config = GenerationConfig(do_sample=True, **kind.generation, **tokens)
    return model, tokenizer


def _save(out: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    with replacing(out) as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def _tokenizer(family: Family) -> PreTrainedTokenizerBase:
    """Qwen's is rebuilt by its class; others carry theirs in tokenizer.json, which puts `bos` before every text."""
    tokenizer = make_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": [*family.others]})
    if family.bos is None:
        return tokenizer
    backend = tokenizer.backend_tokenizer
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token=family.bos,
        eos_token=family.end,
        pad_token=PAD,
        model_max_length=2048,
    )
    bos = (family.bos, tokenizer.bos_token_id)
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{family.bos} $A", pair=f"{family.bos} $A {family.bos} $B", special_tokens=[bos]
    )
    return tokenizer


def make_nli(out: Path) -> None:
    """Write a cross-encoder of DeBERTa-v3's architecture, drawn from seed 0, that reads the tiny world's words."""
    tokenizer = make_nli_tokenizer()
    torch.manual_seed(0)
    config = DebertaV2Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=tokenizer.model_max_length,
        relative_attention=True,
        position_buckets=16,
        pos_att_type=["p2c", "c2p"],
        pad_token_id=tokenizer.pad_token_id,
        id2label=dict(enumerate(LABELS)),
        label2id={label: number for number, label in enumerate(LABELS)},
    )
    with replacing(out) as folder:
        DebertaV2ForSequenceClassification(config).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
