"""What an engine is: conversations in, answers out, with any checkpoint of one base model."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from emflow.config import Engine as EngineConfig
from emflow.config import Sampling

__all__ = ["Completion", "Engine", "make_engine"]


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
        """One answer per conversation (messages that end with a user's turn), each from its own seed."""


def make_engine(config: EngineConfig, model: Path, dtype: str) -> Engine:
    """Load the base model into the engine that the config names. Raises InputError without a model."""
    from emflow.inference.transformers_engine import TransformersEngine

    return TransformersEngine(model, dtype, config.batch_size)
