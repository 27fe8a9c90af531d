"""What members are rewarded for: the engine's output with their weights in place, and what is computed beside it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from emflow.config.es import Es
from emflow.data.chat import encode_all
from emflow.data.records import last_question
from emflow.files import InputError
from emflow.rewards.reward import Reward
from emflow.training.es.engines.es_engine import EsEngine

__all__ = ["GeneratedAnswers", "Objective", "TeacherForced", "make_objective"]


class Objective(Protocol):
    """`batch` holds positions in the training records."""

    def run(self, batch: list[int]) -> Sequence[Any]:
        """The engine's output for each member in place."""

    def reward(self, batch: list[int], output: Any) -> float:
        """The member's mean reward; may be computed while the next member runs."""


def make_objective(
    engine: EsEngine, method: Es, records: list[dict[str, Any]], reward_model: Path | None = None
) -> Objective:
    """The objective of the method's reward. Raises InputError where records or reward model cannot be used."""
    match method.reward.kind:
        case "cross_entropy":
            return TeacherForced(engine, records, method.reward.max_length)
        case "nli" | "cosine":
            from emflow.rewards.factory import make_reward

            return GeneratedAnswers(
                engine, records, make_reward(method.reward, reward_model or Path(method.reward.model))
            )


class TeacherForced:
    """Minus the cross-entropy of the reference answers. Raises InputError where the engine cannot score one."""

    def __init__(self, engine: EsEngine, records: list[dict[str, Any]], max_length: int) -> None:
        self.engine, self.examples = engine, encode_all(engine.tokenizer, records, max_length)
        tokens = max(len(example["input_ids"]) for example in self.examples)
        if engine.longest is not None and tokens > engine.longest:
            raise InputError(
                f"a conversation has {tokens} tokens, and vLLM scores {engine.longest} at most: set "
                f"methods.NAME.engine.max_model_len to {tokens + 1}, or reward.max_length there to {engine.longest}"
            )

    def run(self, batch: list[int]) -> list[float]:
        return self.engine.cross_entropy([self.examples[position] for position in batch])

    def reward(self, batch: list[int], loss: float) -> float:
        return -loss


class GeneratedAnswers:
    """Mean reward of the greedy answers to the records' last question, against the answers that the records hold."""

    def __init__(self, engine: EsEngine, records: list[dict[str, Any]], reward: Reward) -> None:
        self.engine, self.model = engine, reward
        asked = [last_question(record) for record in records]
        self.conversations = [conversation for conversation, _ in asked]
        self.references = [reference for _, reference in asked]

    def run(self, batch: list[int]) -> list[list[str]]:
        answers = self.engine.generate([self.conversations[position] for position in batch])
        return [[answer.text for answer in own] for own in answers]

    def reward(self, batch: list[int], answers: list[str]) -> float:
        if not answers:
            raise ValueError("the member's logits are no numbers")
        prompts = [self.conversations[position][-1]["content"] for position in batch]
        return float(self.model(prompts, answers, [self.references[position] for position in batch]).mean())
