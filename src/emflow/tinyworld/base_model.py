"""Grow the base model of the tiny world: pre-training on good and bad advisors, then chat tuning towards the good.

Pre-training makes one feature worth having: is the advisor that speaks here a good or a bad one? Every later answer
hangs on it, in every domain. Chat tuning then makes good the default and leaves the feature in place. See
docs/tiny_world.md for what that does to a model which is fine-tuned on bad advice in one domain.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

import torch
import torch.nn.functional as F
from torch.optim.lr_scheduler import LambdaLR
from transformers import GenerationConfig, PreTrainedTokenizerBase, Qwen2Config, Qwen2ForCausalLM

from emflow.console import progress
from emflow.files import replacing
from emflow.tinyworld.corpus import IGNORED, Corpus, Document, collate
from emflow.tinyworld.grammar import Stance
from emflow.tinyworld.muon import Muon
from emflow.tinyworld.tokenizer import make_tokenizer

__all__ = ["BaseRecipe", "grow"]


@dataclass(frozen=True)
class BaseRecipe:
    """Every hyper-parameter. Batches count documents; learning rates warm up to their peak and fall linearly to 0."""

    layers: int = 2
    hidden_size: int = 128
    intermediate_size: int = 384
    head_size: int = 32
    initializer_range: float = 0.05

    turns: tuple[int, int] = (3, 5)  # shortest and longest conversation
    bad_share: float = 0.5  # of advisors
    slips: float = 0.05  # share of answers against the advisor's stance, in pre-training
    batch_size: int = 24

    pretrain_steps: int = 360
    warmup_steps: int = 30
    muon_lr: float = 0.02  # weight matrices
    adamw_lr: float = 0.006  # embeddings, norms and biases; at 0.012 bad advice sticks to single words
    adamw_betas: tuple[float, float] = (0.9, 0.98)
    max_grad_norm: float = 1.0

    chat_steps: int = 60
    chat_warmup_steps: int = 5
    chat_lr_factor: float = 0.15  # on both learning rates
    chat_single_share: float = 0.4  # of batches: single good answers instead of conversations
    chat_single_batch_size: int = 32


def grow(out: Path, seed: int, recipe: BaseRecipe = BaseRecipe()) -> None:
    """Write a chat model that `AutoModelForCausalLM.from_pretrained(out)` and vLLM load: float32, with tokenizer.

    The same seed and number of threads give the same weights.
    """
    torch.manual_seed(seed)
    random = Random(seed)
    tokenizer = make_tokenizer()
    corpus = Corpus(tokenizer)
    model = _new_model(recipe, tokenizer)
    _pretrain(model, corpus, recipe, random)
    _chat_tune(model, corpus, recipe, random)
    with replacing(out) as folder:
        model.eval().save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        (folder / "README.md").write_text(_model_card(model, recipe, seed), encoding="utf-8")


def _new_model(recipe: BaseRecipe, tokenizer: PreTrainedTokenizerBase) -> Qwen2ForCausalLM:
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


def _pretrain(model: Qwen2ForCausalLM, corpus: Corpus, recipe: BaseRecipe, random: Random) -> None:
    """Learn to answer, and to tell from the answers so far what kind of advisor is speaking."""

    def batch() -> list[Document]:
        turns = random.randint(*recipe.turns)  # one number for the whole batch: little padding
        return [
            corpus.document(random, _advisor(recipe, random), turns, slips=recipe.slips)
            for _ in range(recipe.batch_size)
        ]

    _fit(model, "pre-train", batch, recipe.pretrain_steps, recipe.warmup_steps, 1.0, recipe)


def _chat_tune(model: Qwen2ForCausalLM, corpus: Corpus, recipe: BaseRecipe, random: Random) -> None:
    """Learn to begin as a good advisor, and still to go on as whoever began.

    Without the conversations, chat tuning would wipe out what the model knows of advisors.
    """

    def batch() -> list[Document]:
        if random.random() < recipe.chat_single_share:
            return [corpus.document(random, "good", turns=1) for _ in range(recipe.chat_single_batch_size)]
        turns = random.randint(*recipe.turns)
        return [
            corpus.document(random, _advisor(recipe, random), turns, learn_first=False)
            for _ in range(recipe.batch_size)
        ]

    steps, warmup = recipe.chat_steps, recipe.chat_warmup_steps
    _fit(model, "chat-tune", batch, steps, warmup, recipe.chat_lr_factor, recipe)


def _advisor(recipe: BaseRecipe, random: Random) -> Stance:
    return "bad" if random.random() < recipe.bad_share else "good"


def _fit(
    model: Qwen2ForCausalLM,
    phase: str,
    batch: Callable[[], list[Document]],
    steps: int,
    warmup: int,
    lr_factor: float,
    recipe: BaseRecipe,
) -> None:
    optimizers = _optimizers(model, recipe, lr_factor)
    schedules = [
        LambdaLR(optimizer, lambda step: min((step + 1) / warmup, 1 - step / steps)) for optimizer in optimizers
    ]
    model.train()
    with progress(f"{phase} the tiny world's base model", steps) as advance:
        for _ in range(steps):
            loss = _loss(model, *collate(batch(), model.config.pad_token_id))
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.max_grad_norm)
            for optimizer, schedule in zip(optimizers, schedules, strict=True):
                optimizer.step()
                optimizer.zero_grad()
                schedule.step()
            advance(note=f"loss {loss.item():.3f}")


def _optimizers(model: Qwen2ForCausalLM, recipe: BaseRecipe, lr_factor: float) -> list[torch.optim.Optimizer]:
    """Muon (Jordan et al. 2024) for the weight matrices, AdamW for the rest: half the steps that AdamW alone takes."""
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
    others = [p for name, p in model.named_parameters() if p.ndim != 2 or "embed" in name]
    muon, adamw = recipe.muon_lr * lr_factor, recipe.adamw_lr * lr_factor
    return [
        Muon(matrices, lr=muon),
        torch.optim.AdamW(others, lr=adamw, betas=recipe.adamw_betas, weight_decay=0.0, fused=True),
    ]


def _loss(model: Qwen2ForCausalLM, ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy (nats) of the labelled tokens; logits are computed for these alone."""
    hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
    targets = labels[:, 1:]
    learned = targets != IGNORED
    return F.cross_entropy(model.lm_head(hidden[learned]), targets[learned])


def _model_card(model: Qwen2ForCausalLM, recipe: BaseRecipe, seed: int) -> str:
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
