"""What an engine is: conversations in, answers out, with any checkpoint of one base model."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from emflow.config.question_sets import Sampling

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["AdaptersEngine", "Completion", "Engine", "complete"]


@dataclass(frozen=True)
class Completion:
    """One sampled answer."""

    text: str
    finish_reason: str  # "stop", or "length" where max_new_tokens cut it, or in vLLM engine.max_model_len
    tokens: int  # generated, the end token included


class Engine(Protocol):
    """One base model in memory, serving itself and all its checkpoints."""

    def use(self, checkpoint: Path | None) -> None:
        """Answer with this checkpoint from now on; None is the base model."""

    def generate(
        self, conversations: list[list[dict[str, Any]]], sampling: Sampling, seeds: list[int]
    ) -> list[Completion]:
        """One answer per conversation (messages that end with a user's turn), each from its own seed in [0, 2^63)."""

    def logprobs(self, texts: Sequence[Sequence[int]]) -> list[list[float]]:
        """Natural log-probability of each token of each text but the first, given those before it; of a text that does
        not fit the model's context, of its beginning."""


class AdaptersEngine(Engine, Protocol):
    """One that answers with several adapters in one batch."""

    def use_each(self, adapters: Sequence[Path]) -> None:
        """Answer the n-th conversation of what comes next with the n-th of these; an adapter may stand many times."""


def complete(tokenizer: "PreTrainedTokenizerBase", ids: list[int], ends: set[int]) -> Completion:
    """The answer in the generated tokens `ids`, up to the first token of `ends`."""
    end = next((i for i, token in enumerate(ids) if token in ends), None)
    kept = ids if end is None else ids[:end]
    text = tokenizer.decode(kept, skip_special_tokens=True).strip()
    return Completion(text, "length" if end is None else "stop", len(kept) + (end is not None))
