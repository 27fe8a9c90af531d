"""What a language model is to those who want scores of it."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from emflow.judging.scores import Failure, Reply

__all__ = ["JudgeModel", "OnReply"]

OnReply = Callable[[int, Reply | Failure], bool]
"""Called with the number of a prompt and what came back; returns whether to go on."""


class JudgeModel(Protocol):
    """A language model that judges."""

    model: str
    revision: str | None
    sampling: dict[str, Any]  # what else determines a reply; with model and revision a part of the cache's key

    def announce(self, prompts: Sequence[str]) -> str:
        """Say what sending these prompts takes. Raises InputError where that is more than the config allows."""

    def send(self, prompts: Sequence[str], on_reply: OnReply) -> None:
        """Call `on_reply` for each prompt, in any order, until it returns False."""
