"""Which runs follow from `runs`, and on what each is evaluated."""

import itertools
from collections.abc import Iterable
from typing import NamedTuple

from emflow.config.runs import Runs

__all__ = ["Evaluation", "Expansion", "Run"]


class Run(NamedTuple):
    """One fine-tuning: the unit that is trained, evaluated and compared."""

    model: str
    domain: str
    method: str
    seed: int


class Evaluation(NamedTuple):
    """A question set, and the judge of the answers to it."""

    question_set: str
    judge: str


class Expansion:
    """The union of the blocks' products, everything once and in the order of the lists."""

    evaluations: dict[Run, tuple[Evaluation, ...]]

    def __init__(self, blocks: Iterable[Runs]) -> None:
        found: dict[Run, dict[Evaluation, None]] = {}
        for block in blocks:
            evaluations = itertools.product(block.question_sets, block.judges)
            asked = dict.fromkeys(Evaluation(*names) for names in evaluations)
            for names in itertools.product(block.models, block.domains, block.methods, block.seeds):
                found.setdefault(Run(*names), {}).update(asked)
        self.evaluations = {run: tuple(asked) for run, asked in found.items()}

    def of(self, run: Run) -> tuple[Evaluation, ...]:
        """On what a run is evaluated; one that is asked for beside the study, on all that any run is."""
        return self.evaluations.get(run) or tuple(dict.fromkeys(itertools.chain(*self.evaluations.values())))

    @property
    def runs(self) -> list[Run]:
        """All runs."""
        return list(self.evaluations)

    @property
    def models(self) -> list[str]:
        """Names of the models that are run."""
        return list(dict.fromkeys(run.model for run in self.evaluations))

    @property
    def domains(self) -> list[str]:
        """Names of the domains that are trained on."""
        return list(dict.fromkeys(run.domain for run in self.evaluations))

    @property
    def methods(self) -> list[str]:
        """Names of the methods that are run."""
        return list(dict.fromkeys(run.method for run in self.evaluations))

    @property
    def seeds(self) -> list[int]:
        """Seeds of training."""
        return list(dict.fromkeys(run.seed for run in self.evaluations))

    @property
    def question_sets(self) -> list[str]:
        """Names of the question sets that are asked."""
        return list(dict.fromkeys(e.question_set for asked in self.evaluations.values() for e in asked))

    @property
    def judges(self) -> list[str]:
        """Names of the judges."""
        return list(dict.fromkeys(e.judge for asked in self.evaluations.values() for e in asked))
