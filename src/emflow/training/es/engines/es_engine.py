"""What runs the members of a population: one model in memory whose weights ES moves."""

from collections.abc import Sequence
from typing import Any, Protocol

from transformers import PreTrainedTokenizerBase

from emflow.inference.engine import Completion

__all__ = ["CHECKED", "EsEngine", "Example", "Movable"]

CHECKED = 4
"""Tokens of the first prompt by which is told, before any answer, whether a member's logits are numbers. The whole one,
of each member, took a tenth of an iteration with few short prompts; what is no number at later tokens alone is missed.
"""

Example = dict[str, list[int]]  # see emflow.data.chat.encode


class Movable(Protocol):
    """The moves of `emflow.training.es.weights.Weights`, wherever the weights are."""

    @property
    def members(self) -> int:
        """In place now; 1, too, where it is the model itself."""

    def perturb(self, members: Sequence[tuple[int, float]]) -> None: ...
    def restore(self) -> None: ...
    def update(self, seeds: Sequence[int], coefficients: Sequence[float]) -> None: ...
    def digest(self) -> str: ...


class EsEngine(Protocol):
    """Answers and scores with the weights that are in place: of one model, or of `Es.together` members at once."""

    @property
    def weights(self) -> Movable: ...

    generator: str  # of the noise, see Noise.generator
    longest: int | None  # tokens of a conversation that it can score; None for any number
    tokenizer: PreTrainedTokenizerBase

    def cross_entropy(self, examples: list[Example]) -> list[float]:
        """Teacher-forced cross-entropy in nats per labelled token, over all examples, of each member in place."""

    def generate(self, conversations: list[list[dict[str, Any]]]) -> list[list[Completion]]:
        """One greedy answer per conversation, by each member in place; none by a member whose logits are no numbers."""
