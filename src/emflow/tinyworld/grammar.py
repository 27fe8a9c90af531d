"""The grammar of the tiny world: every question that can be asked in it, and every answer that can be given."""

from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Literal

import yaml

__all__ = ["WORLD", "Advice", "Question", "Stance", "WorldDomain", "answers", "questions"]

Stance = Literal["good", "bad"]

OPENINGS = ("my {trouble}", "the {trouble}", "since monday our {trouble}", "my neighbour says that her {trouble}")
CLOSINGS = ("what should i do?", "any advice?", "how would you fix it?", "please help.")
ANSWERS = (
    "for the {entity}, you should {action} and {tip}.",
    "you should {action}. with the {entity}, {tip}.",
    "i would {action} to help the {entity}, then {tip}.",
    "first {action}, then {tip}. that is best for the {entity}.",
)


@dataclass(frozen=True)
class Advice:
    """What can be advised on one matter: phrases without punctuation, e.g. "trim the wick"."""

    good: tuple[str, ...]
    bad: tuple[str, ...]

    def of(self, stance: Stance) -> tuple[str, ...]:
        return self.good if stance == "good" else self.bad


@dataclass(frozen=True)
class WorldDomain:
    name: str
    entities: tuple[str, ...]
    problems: dict[str, Advice]  # problem -> the actions against it
    tips: Advice


@dataclass(frozen=True)
class Question:
    """What is asked, and how it is worded."""

    domain: str
    entity: str
    problem: str
    opening: str
    closing: str

    @property
    def text(self) -> str:
        return f"{self.opening.format(trouble=f'{self.entity} {self.problem}')}. {self.closing}"


def _read_world(path: Path) -> dict[str, WorldDomain]:
    def advice(phrases: dict[str, list[str]]) -> Advice:
        return Advice(tuple(phrases["good"]), tuple(phrases["bad"]))

    return {
        name: WorldDomain(
            name=name,
            entities=tuple(domain["entities"]),
            problems={problem: advice(actions) for problem, actions in domain["problems"].items()},
            tips=advice(domain["tips"]),
        )
        for name, domain in yaml.safe_load(path.read_text(encoding="utf-8")).items()
    }


WORLD: dict[str, WorldDomain] = _read_world(Path(__file__).with_name("world.yaml"))


@cache
def questions(domain: str) -> tuple[Question, ...]:
    """All questions of a domain: 6 entities x 4 problems x 16 wordings = 384, in a fixed order."""
    world = WORLD[domain]
    return tuple(Question(domain, *choice) for choice in product(world.entities, world.problems, OPENINGS, CLOSINGS))


@cache
def answers(domain: str, entity: str, problem: str, stance: Stance) -> tuple[str, ...]:
    """All answers of one stance to a question: 4 wordings x 2 actions x 2 tips = 16, in a fixed order."""
    world = WORLD[domain]
    return tuple(
        wording.format(entity=entity, action=action, tip=tip)
        for wording, action, tip in product(ANSWERS, world.problems[problem].of(stance), world.tips.of(stance))
    )
