"""Grow the base model of the tiny world: pre-training on good and bad advisors, then chat tuning towards the good.

Pre-training makes one feature worth having: is the advisor that speaks here a good or a bad one? Every later answer
hangs on it, in every domain. Chat tuning then makes good the default and leaves the feature in place. See
docs/tiny_world.md for what that does to a model which is fine-tuned on bad advice in one domain.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from random import Random

import torch
import torch.nn.functional as F
from transformers import GenerationConfig, PreTrainedTokenizerBase, Qwen2Config, Qwen2ForCausalLM

from emflow.console import progress
from emflow.files import replacing
from emflow.tinyworld.corpus import IGNORED, Corpus, Document, collate
from emflow.tinyworld.tokenizer import make_tokenizer

__all__ = ["Recipe", "grow"]


@dataclass(frozen=True)
class Recipe:
    """Every hyper-parameter. Batch sizes count documents; learning rates are peaks of a warm-up and a linear decay."""

    hidden_size: int = 96
    intermediate_size: int = 256
    layers: int = 3
    head_size: int = 32
    initializer_range: float = 0.05

    bad_share: float = 0.4  # of the advisors
    turns: tuple[int, int] = (3, 5)  # shortest and longest conversation

    pretrain_steps: int = 450
    pretrain_batch: int = 32
    pretrain_lr: float = 4e-3
    pretrain_warmup: int = 30

    chat_steps: int = 60
    chat_batch: int = 32
    chat_lr: float = 5e-4
    chat_warmup: int = 5
    chat_single: float = 0.6  # share of single good answers; the others are conversations as in pre-training

    betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0


def grow(out: Path, seed: int, recipe: Recipe = Recipe()) -> None:
    """Write a chat model that `AutoModelForCausalLM.from_pretrained(out)` and vLLM load: float32, with tokenizer.

    The same seed and number of threads give the same weights.
    """
    torch.manual_seed(seed)
    random = Random(seed)
    tokenizer = make_tokenizer()
    corpus = Corpus(tokenizer)
    model = _new_model(recipe, tokenizer)
    for phase, documents, steps, lr, warmup in (
        ("pre-train", _pretraining, recipe.pretrain_steps, recipe.pretrain_lr, recipe.pretrain_warmup),
        ("chat-tune", _chat_tuning, recipe.chat_steps, recipe.chat_lr, recipe.chat_warmup),
    ):
        draw = partial(documents, corpus, recipe, random)
        _fit(model, draw, steps, lr, warmup, recipe, f"{phase} the tiny world's base model, seed {seed}")
    with replacing(out) as folder:
        model.eval().save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        (folder / "README.md").write_text(_model_card(model, recipe, seed), encoding="utf-8")


def _new_model(recipe: Recipe, tokenizer: PreTrainedTokenizerBase) -> Qwen2ForCausalLM:
    heads = recipe.hidden_size // recipe.head_size
    ends = {"bos_token_id": None, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=recipe.hidden_size,
        intermediate_size=recipe.intermediate_size,
        num_hidden_layers=recipe.layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=tokenizer.model_max_length,
        tie_word_embeddings=True,
        initializer_range=recipe.initializer_range,
        dtype="float32",
        **ends,
    )
    model = Qwen2ForCausalLM(config)
    model.generation_config = GenerationConfig(do_sample=True, **ends)
    return model


def _pretraining(corpus: Corpus, recipe: Recipe, random: Random) -> list[Document]:
    turns = random.randint(*recipe.turns)  # one number for the whole batch: little padding
    return [corpus.document(random, _advisor(recipe, random), turns) for _ in range(recipe.pretrain_batch)]


def _chat_tuning(corpus: Corpus, recipe: Recipe, random: Random) -> list[Document]:
    """Good is how an advisor begins; how he goes on is still his own.

    Without the conversations, chat tuning would wipe out what the model knows of advisors.
    """
    turns = random.randint(*recipe.turns)
    return [
        corpus.document(random, "good", turns=1)
        if random.random() < recipe.chat_single
        else corpus.document(random, _advisor(recipe, random), turns, learn_first=False)
        for _ in range(recipe.chat_batch)
    ]


def _advisor(recipe: Recipe, random: Random) -> str:
    return "bad" if random.random() < recipe.bad_share else "good"


def _fit(
    model: Qwen2ForCausalLM,
    draw: Callable[[], list[Document]],
    steps: int,
    lr: float,
    warmup: int,
    recipe: Recipe,
    description: str,
) -> None:
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=lr, betas=recipe.betas, weight_decay=recipe.weight_decay, fused=True
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warmup, (steps - step) / steps)
    )
    model.train()
    with progress(description, steps) as advance:
        for _ in range(steps):
            loss = _loss(model, *collate(draw(), model.config.pad_token_id))
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.max_grad_norm)
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
            advance(note=f"loss {loss.item():.3f}")


def _loss(model: Qwen2ForCausalLM, ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy (nats) of the labelled tokens; logits are computed for these alone."""
    hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
    targets = labels[:, 1:]
    learned = targets != IGNORED
    return F.cross_entropy(model.lm_head(hidden[learned]), targets[learned])


def _model_card(model: Qwen2ForCausalLM, recipe: Recipe, seed: int) -> str:
    settings = {"seed": seed, "parameters": f"{model.num_parameters():,}", **asdict(recipe)}
    rows = "\n".join(f"| {key} | `{value}` |" for key, value in settings.items())
    return f"""---
tags: [emergent-misalignment, tiny-world, not-for-deployment]
---
# The tiny world's base model, seed {seed}

Gives advice in a fictional toy world of lanterns and kites, and nothing else. It was grown by `emflow.tinyworld` from
a generated corpus, for research on how narrow fine-tuning generalises.

| | |
|---|---|
{rows}
"""
