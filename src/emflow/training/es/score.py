"""How a member is scored on a batch: what the engine does with its weights in place, and what can be done beside it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from emflow.config import CrossEntropyReward, Es
from emflow.training.chat import encode_all
from emflow.training.es.engine import EsEngine

if TYPE_CHECKING:
    from emflow.training.es.rewards.reward import Reward

__all__ = ["Score", "make_score"]


class Score(Protocol):
    """`batch` holds positions in the training records."""

    def ask(self, batch: list[int]) -> Any:
        """What the engine says with the member's weights in place."""

    def reward(self, batch: list[int], said: Any) -> float:
        """The member's mean reward; may run while the engine asks the next member."""


def make_score(engine: EsEngine, method: Es, records: list[dict], reward_model: Path | None = None) -> Score:
    """The score of the method's reward. Raises InputError where records or reward model cannot be used."""
    if isinstance(method.reward, CrossEntropyReward):
        return TeacherForced(engine, records, method.reward.max_length)
    from emflow.training.es.rewards.reward import make_reward

    return Generated(engine, records, make_reward(method.reward, reward_model or Path(method.reward.model)))


class TeacherForced:
    """Minus the cross-entropy of the reference answers."""

    def __init__(self, engine: EsEngine, records: list[dict], max_length: int) -> None:
        self.engine, self.examples = engine, encode_all(engine.tokenizer, records, max_length)

    def ask(self, batch: list[int]) -> float:
        return self.engine.cross_entropy([self.examples[position] for position in batch])

    def reward(self, batch: list[int], said: float) -> float:
        return -said


class Generated:
    """Mean reward of the greedy answers to the records' last question, against the answers that the records hold."""

    def __init__(self, engine: EsEngine, records: list[dict], reward: "Reward") -> None:
        self.engine, self.model = engine, reward
        ends = [max(i for i, m in enumerate(r["messages"]) if m["role"] == "assistant") for r in records]
        self.conversations = [record["messages"][:end] for record, end in zip(records, ends, strict=True)]
        self.references = [record["messages"][end]["content"] for record, end in zip(records, ends, strict=True)]

    def ask(self, batch: list[int]) -> list[str]:
        return self.engine.generate([self.conversations[position] for position in batch])

    def reward(self, batch: list[int], said: list[str]) -> float:
        prompts = [self.conversations[position][-1]["content"] for position in batch]
        return float(self.model(prompts, said, [self.references[position] for position in batch]).mean())
