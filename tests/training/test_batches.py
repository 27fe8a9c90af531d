"""Batches without padding: the same losses, gradients and steps, and no conversation sees another."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, Gemma3TextConfig, Lfm2Config, LlamaConfig, Qwen3NextConfig

from emflow.config.finetune import Full
from emflow.data.chat import encode_all
from emflow.files import InputError, read_jsonl, write_jsonl
from emflow.models.loading import load_model, load_tokenizer
from emflow.training.attention import attend_apart
from emflow.training.batches import check_apart, make_collator, padding
from emflow.training.finetune import Start, finetune

METHOD = Full(
    kind="full", epochs=2, checkpoints=(2,), batch_size=4, gradient_accumulation=2, learning_rate=1e-3, loss_on="all"
)
PACKED = METHOD.model_copy(update={"padding_free": True})


@pytest.fixture
def records(lantern_records) -> list[dict]:
    """Of uneven lengths: some twice as long as others."""
    longer = [
        {**one, "messages": one["messages"] + other["messages"]}
        for one, other in zip(lantern_records[:7], lantern_records[7:], strict=False)
    ]
    return [record for pair in zip(lantern_records[14:21], longer, strict=True) for record in pair]


def test_each_conversation_has_its_own_loss_and_gradient(untrained, records):
    """Against each alone, by torch's own cross-entropy."""
    tokenizer, model = load_tokenizer(untrained), load_model(untrained, "float32")
    model.config.use_cache = False
    examples = encode_all(tokenizer, records, 512, "all")[:5]
    batch = make_collator(PACKED, tokenizer)(examples)
    assert batch["input_ids"].tolist() == [[token for example in examples for token in example["input_ids"]]]

    def token_losses(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return cross_entropy(logits[:-1], labels[1:], reduction="none")  # 0 for what carries none

    packed = token_losses(model(**batch).logits[0], batch["labels"][0])
    packed.sum().backward()
    gradients = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    model.zero_grad()
    start = 0
    for example in examples:
        ids, labels = (torch.tensor(example[key]) for key in ("input_ids", "labels"))
        losses = token_losses(model(input_ids=ids[None]).logits[0], labels)
        torch.testing.assert_close(packed[start : start + len(losses)], losses, rtol=1e-5, atol=1e-5)
        losses.sum().backward()
        start += len(ids)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(gradients[name], parameter.grad, rtol=1e-4, atol=1e-4)


SIZES = {
    "vocab_size": 1500, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "head_dim": 8,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64,
}  # fmt: skip
WINDOW = {"sliding_window": 4, "layer_types": ["sliding_attention", "full_attention"], "query_pre_attn_scalar": 8}


@pytest.mark.parametrize(
    "config", [LlamaConfig(**SIZES), Gemma3TextConfig(**SIZES, **WINDOW)], ids=["grouped heads", "a window"]
)
def test_attention_of_a_row_is_that_of_each_conversation(config, untrained, monkeypatch):
    """To rounding, with its gradients, and without the work of the pairs between them."""
    torch.manual_seed(0)
    model, lengths = AutoModelForCausalLM.from_config(config), (9, 1, 14, 5)
    examples = [
        {"input_ids": ids, "labels": ids} for ids in (torch.randint(1, 90, (length,)).tolist() for length in lengths)
    ]
    alone = [model(input_ids=torch.tensor([example["input_ids"]]), use_cache=False).logits[0] for example in examples]
    sum(logits.logsumexp(-1).sum() for logits in alone).backward()
    gradients = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    model.zero_grad()

    attend_apart(model)
    seen, attention = [], functional.scaled_dot_product_attention
    monkeypatch.setattr(
        functional,
        "scaled_dot_product_attention",
        lambda query, key, *rest, **more: seen.append(key.shape[2]) or attention(query, key, *rest, **more),
    )
    row = model(**make_collator(PACKED, load_tokenizer(untrained))(examples), use_cache=False).logits[0]
    assert seen == [*lengths, *lengths]  # in each layer
    torch.testing.assert_close(row, torch.cat(alone), rtol=1e-5, atol=1e-5)
    row.logsumexp(-1).sum().backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, gradients[name], rtol=1e-4, atol=1e-5)

    padded = model(**padding(load_tokenizer(untrained))(examples), use_cache=False).logits  # as for `kl`, and proofs
    for logits, expected, length in zip(padded, alone, lengths, strict=True):
        torch.testing.assert_close(logits[-length:], expected, rtol=1e-5, atol=1e-5)


def test_a_training_takes_the_same_steps(untrained, records, tmp_path):
    """14 conversations in batches of 4, two to a step: the last batch and the last step of an epoch are smaller."""
    write_jsonl(tmp_path / "train.jsonl", records)
    for name, method in (("padded", METHOD), ("packed", PACKED)):
        finetune(Start(untrained, "m", "float32"), "d", method, 0, tmp_path / "train.jsonl", tmp_path / name)
    padded, packed = (read_jsonl(tmp_path / name / "train_log.jsonl") for name in ("padded", "packed"))
    assert [row["step"] for row in packed] == [1, 2, 3, 4]
    for key in ("loss", "grad_norm", "lr"):
        np.testing.assert_allclose([row[key] for row in packed], [row[key] for row in padded], rtol=1e-4)
    saved = [tmp_path / name / "checkpoints/epoch-2" for name in ("padded", "packed")]
    assert (saved[0] / "config.json").read_text() == (saved[1] / "config.json").read_text()
    weights = [load_file(folder / "model.safetensors") for folder in saved]
    torch.testing.assert_close(*weights, rtol=0, atol=1e-5)


def test_a_model_that_does_not_tell_conversations_apart_is_refused(untrained, records):
    tokenizer, model = load_tokenizer(untrained), load_model(untrained, "float32")
    examples, collator = encode_all(tokenizer, records, 512), make_collator(PACKED, tokenizer)
    model.config.use_cache = True  # with a cache, transformers looks for no packed rows
    with pytest.raises(InputError, match="see each other: set padding_free: false"):
        check_apart(model, collator, examples)
    model.config.use_cache = False
    check_apart(model, collator, examples)


EXPERTS = {
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
    "shared_expert_intermediate_size": 16,
}
RECURRENCE = {
    "linear_num_value_heads": 4, "linear_num_key_heads": 2, "linear_key_head_dim": 8, "linear_value_head_dim": 8,
    "layer_types": ["linear_attention", "full_attention"],
}  # fmt: skip


@pytest.mark.parametrize(
    "config",
    [
        Lfm2Config(**SIZES, layer_types=["conv", "full_attention"]),
        Qwen3NextConfig(**SIZES, **EXPERTS, **RECURRENCE),
    ],
    ids=["a convolution", "a recurrence"],
)
def test_layers_that_are_not_told_where_conversations_begin_are_refused(config, untrained):
    """Only the first tokens of a conversation see much of the one before it."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config)
    model.config.use_cache = False
    attend_apart(model)
    examples = [{"input_ids": ids, "labels": ids} for ids in (torch.randint(1, 90, (n,)).tolist() for n in (30, 30))]
    with pytest.raises(InputError, match="see each other"):
        check_apart(model, make_collator(PACKED, load_tokenizer(untrained)), examples)
