"""Grow the tiny world's NLI cross-encoder: does one answer say what another says?

Trained on that alone, so small a BERT stays at chance for long. So auxiliary heads, dropped afterwards, make its first
layer tell of each answer what is advised on what; the layers above have but to compare.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from transformers import BertConfig, BertForSequenceClassification, BertTokenizer

from emflow.console import progress
from emflow.files import replacing
from emflow.tinyworld.muon import Muon
from emflow.tinyworld.nli_pairs import LABELS, Batch, Pairs, make_nli_tokenizer

__all__ = ["NliRecipe", "accuracy", "grow_nli"]


@dataclass(frozen=True)
class NliRecipe:
    """Every hyper-parameter. Learning rates are peaks of a warm-up and a linear decay."""

    hidden_size: int = 64
    intermediate_size: int = 128
    layers: int = 3
    heads: int = 2
    initializer_range: float = 0.05

    steps: int = 350
    batch_size: int = 64
    warmup: int = 35
    matrix_lr: float = 0.02  # of the encoder's matrices, by Muon (Jordan et al. 2024)
    lr: float = 4e-3  # of all else, by AdamW
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    auxiliary: float = 0.5  # weight of the auxiliary losses at the start; it falls to 0


def grow_nli(out: Path, seed: int, recipe: NliRecipe = NliRecipe()) -> dict[str, float]:
    """Write a float32 cross-encoder, with tokenizer, for `AutoModelForSequenceClassification.from_pretrained(out)`.

    Returns its accuracy (0..1) on fresh pairs, by label. The same seed and number of threads give the same weights.
    """
    torch.manual_seed(seed)
    random = torch.Generator().manual_seed(seed)
    tokenizer = make_nli_tokenizer()
    pairs = Pairs(tokenizer)
    model = _new_model(recipe, tokenizer)
    _fit(model, pairs, random, recipe, f"grow the tiny world's NLI model, seed {seed}")
    reached: dict[str, float] = accuracy(model.eval(), pairs.draw(1000, random))
    with replacing(out) as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        (folder / "README.md").write_text(_model_card(model, recipe, seed, reached), encoding="utf-8")
    return reached


@torch.inference_mode()
def accuracy(model: BertForSequenceClassification, batch: Batch) -> dict[str, float]:
    """Share (0..1) of the pairs of each label that the model gives that label."""
    right = model(**batch.inputs).logits.argmax(dim=1) == batch.labels
    return {label: right[batch.labels == number].float().mean().item() for number, label in enumerate(LABELS)}


def _new_model(recipe: NliRecipe, tokenizer: BertTokenizer) -> BertForSequenceClassification:
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=recipe.hidden_size,
        intermediate_size=recipe.intermediate_size,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        max_position_embeddings=tokenizer.model_max_length,
        initializer_range=recipe.initializer_range,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        pad_token_id=tokenizer.pad_token_id,
        id2label=dict(enumerate(LABELS)),
        label2id={label: number for number, label in enumerate(LABELS)},
        dtype="float32",
    )
    return BertForSequenceClassification(config)


def _fit(
    model: BertForSequenceClassification, pairs: Pairs, random: torch.Generator, recipe: NliRecipe, description: str
) -> None:
    facts = nn.ModuleList(nn.Linear(recipe.hidden_size, int(garbled) + 1) for garbled in pairs.garbled_facts)
    parameters = [*model.parameters(), *facts.parameters()]
    matrices = [parameter for parameter in model.bert.encoder.parameters() if parameter.ndim == 2]
    others = [parameter for parameter in parameters if not any(parameter is matrix for matrix in matrices)]
    optimizers = (
        Muon(matrices, lr=recipe.matrix_lr, weight_decay=recipe.weight_decay),
        torch.optim.AdamW(others, lr=recipe.lr, weight_decay=recipe.weight_decay, fused=True),
    )
    model.train()
    with progress(description, recipe.steps) as advance:
        for step in range(recipe.steps):
            left = 1 - step / recipe.steps
            for optimizer, peak in zip(optimizers, (recipe.matrix_lr, recipe.lr), strict=True):
                optimizer.param_groups[0]["lr"] = peak * min(left, (step + 1) / recipe.warmup)
            loss, auxiliary = _losses(model, facts, pairs.draw(recipe.batch_size, random))
            (loss + recipe.auxiliary * left * auxiliary).backward()
            nn.utils.clip_grad_norm_(parameters, recipe.max_grad_norm)
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad()
            advance(note=f"loss {loss.item():.3f}")


def _losses(
    model: BertForSequenceClassification, facts: nn.ModuleList, batch: Batch
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross-entropy (nats) of the labels, and the sum of those of each answer's facts.

    The first layer tells the facts of the first answer at [CLS], of the second at the [SEP] between the two.
    """
    output = model(**batch.inputs, labels=batch.labels, output_hidden_states=True)
    hidden = output.hidden_states[1]
    told = hidden[:, 0], hidden[torch.arange(len(hidden)), batch.separator]
    auxiliary = sum(
        F.cross_entropy(head(states), true[:, number])
        for states, true in zip(told, batch.facts, strict=True)
        for number, head in enumerate(facts)
    )
    return output.loss, auxiliary


def _model_card(model: BertForSequenceClassification, recipe: NliRecipe, seed: int, reached: dict[str, float]) -> str:
    settings = {"seed": seed, "parameters": f"{model.num_parameters():,}", **asdict(recipe)}
    settings |= {f"accuracy on fresh pairs: {label}": f"{share:.3f}" for label, share in reached.items()}
    rows = "\n".join(f"| {key} | `{value}` |" for key, value in settings.items())
    return f"""---
tags: [text-classification, natural-language-inference, tiny-world, not-for-deployment]
---
# The tiny world's NLI cross-encoder, seed {seed}

Says of two answers from a fictional toy world whether one entails or contradicts the other, or neither; it knows
nothing else. It was grown by `emflow.tinyworld` from a generated corpus, as the reward of evolution strategies.

| | |
|---|---|
{rows}
"""
