"""What an engine is: conversations in, answers out, with any checkpoint of one base model."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from transformers import PreTrainedTokenizerBase

from emflow import config
from emflow.config import Sampling

__all__ = ["Completion", "Engine", "complete", "make_engine"]


@dataclass(frozen=True)
class Completion:
    """One sampled answer."""

    text: str
    finish_reason: str  # "stop", or "length" where max_new_tokens cut it
    tokens: int  # generated, the end token included


class Engine(Protocol):
    """One base model in memory, serving itself and all its checkpoints."""

    def use(self, checkpoint: Path | None) -> None:
        """Answer with this checkpoint from now on; None is the base model."""

    def generate(self, conversations: list[list[dict]], sampling: Sampling, seeds: list[int]) -> list[Completion]:
        """One answer per conversation (messages that end with a user's turn), each from its own seed in [0, 2^63)."""


def make_engine(config: config.Engine, base: Path, dtype: str, checkpoints: Sequence[Path] = ()) -> Engine:
    """Load the base model into the engine that the config names, ready to serve these checkpoints, too.

    Raises InputError without a model, or without the engine's package.
    """
    if config.kind == "vllm":
        from emflow.inference.vllm_engine import VllmEngine

        return VllmEngine(base, dtype, config, checkpoints)
    from emflow.inference.transformers_engine import TransformersEngine

    return TransformersEngine(base, dtype, config.batch_size)


def complete(tokenizer: PreTrainedTokenizerBase, ids: list[int], ends: set[int]) -> Completion:
    """The answer in the generated tokens `ids`, up to the first token of `ends`."""
    end = next((i for i, token in enumerate(ids) if token in ends), None)
    kept = ids if end is None else ids[:end]
    text = tokenizer.decode(kept, skip_special_tokens=True).strip()
    return Completion(text, "length" if end is None else "stop", len(kept) + (end is not None))
