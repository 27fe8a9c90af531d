"""All that the report shows, as tidy tables: read once from the results, and from then on all that sections see."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import IO
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile, ZipInfo

import pandas as pd

from emflow.files import InputError, replacing

__all__ = ["ANSWERED", "DEFINITION_SHOWN", "RUN", "Numbers", "read_rows"]

RUN = ["model", "domain", "method", "seed"]
ANSWERED = [*RUN, "checkpoint", "question_set", "judge"]  # what tells answers apart
TEXTS = [
    *RUN[:3], "checkpoint", "question_set", "judge", "other", "definition", "intervention", "direction", "reference",
    "question_id", "question", "answer",
]  # fmt: skip
DEFINITION_SHOWN = "definition shown"  # a fact of a report of files, which has no config that would say it
COUNTS = ["n", "n_judged", "n_scored", "n_coherent", "n_counted", "n_misaligned"]


def _empty(*columns: str) -> Callable[[], pd.DataFrame]:
    return lambda: pd.DataFrame(columns=list(columns))


@dataclass(frozen=True, eq=False)  # told apart by identity, so that functions of it can be cached
class Numbers:
    """A row of `questions`, `scores` or `answers` that is a base model's has no method and no seed, and a domain only
    where it answered that domain's own questions."""

    rates: pd.DataFrame
    """The rows of em_rates_summary.csv."""
    questions: pd.DataFrame = field(default_factory=_empty(*ANSWERED, "definition", "question_id", *COUNTS))
    """Counts of answers per question, answerer and definition."""
    scores: pd.DataFrame = field(default_factory=_empty(*ANSWERED, "alignment", "coherence", "answers"))
    """How many answers have which scores: rounded down to tens, or REFUSAL, CODE, or null for no number."""
    answers: pd.DataFrame = field(
        default_factory=_empty(*ANSWERED, "question_id", "question", "answer", "alignment", "coherence", "error")
    )
    """The answers that are shown side by side."""
    instruments: pd.DataFrame = field(default_factory=_empty("judge", "question_set", "prompts", "answers"))
    """How many answers each judge that is a language model judged by which prompts."""
    agreement: pd.DataFrame = field(
        default_factory=_empty("question_set", "judge", "other", "measure", "definition", "n", "value", "lo", "hi")
    )
    """How far judges agree on the same answers."""
    pairs: pd.DataFrame = field(default_factory=_empty("question_set", "judge", "other", "x", "y", "answers"))
    """How many answers have which alignments by two judges: points of 0..100, rounded down to fives."""
    logs: pd.DataFrame = field(default_factory=_empty(*RUN, "epoch"))
    """What training logged: a row per step or iteration."""
    interventions: pd.DataFrame = field(default_factory=_empty(*ANSWERED, "definition", "intervention", "kind"))
    """The rows of interventions.csv."""
    directions: pd.DataFrame = field(default_factory=_empty(*RUN, "direction", "site"))
    """The rows of directions.csv."""
    projections: pd.DataFrame = field(default_factory=_empty(*RUN, "checkpoint", "direction", "layer"))
    """The rows of projections.csv."""
    probes: pd.DataFrame = field(default_factory=_empty(*RUN, "checkpoint", "among", "read"))
    """The rows of probes.csv."""
    rank_one: pd.DataFrame = field(default_factory=_empty(*RUN, "checkpoint", "among", "adapter"))
    """The rows of rank_one.csv."""
    trajectory: pd.DataFrame = field(default_factory=_empty(*RUN, "checkpoint", "step", "turn"))
    """The rows of trajectory.csv."""
    scaled_rates: pd.DataFrame = field(default_factory=_empty(*RUN, "checkpoint", "step", "scale", "definition"))
    """The rows of scaled_rates.csv."""
    jobs: pd.DataFrame = field(default_factory=_empty("rule", "job", "seconds", "peak_mb", "gpus"))
    """Finished jobs of the study."""
    requests: pd.DataFrame = field(default_factory=_empty("judge", "requests"))
    """What was asked of judges that are language models."""
    facts: pd.DataFrame = field(default_factory=_empty("fact", "value"))
    """Digests, seeds and versions."""

    def write(self, path: Path) -> None:
        """A ZIP of a CSV per table: one file, which stands or falls as a whole."""
        with replacing(path) as temporary, ZipFile(temporary, "w", ZIP_DEFLATED, compresslevel=1) as archive:
            for part in fields(self):
                archive.writestr(ZipInfo(f"{part.name}.csv"), getattr(self, part.name).to_csv(index=False))

    @staticmethod
    def read(path: Path) -> "Numbers":
        """What `write` wrote; a table that its version did not know is empty. Only an empty cell is null: a model may
        be called NA. Raises InputError where it is damaged."""
        try:
            with ZipFile(path) as archive:
                known = set(archive.namelist())
                return Numbers(
                    **{part.name: _table(archive, part.name) for part in fields(Numbers) if f"{part.name}.csv" in known}
                )
        except (BadZipFile, zlib.error, EOFError, RuntimeError, ValueError, TypeError) as error:
            raise InputError(f"{path} is damaged ({error}): delete it and make the report again") from None


def _table(archive: ZipFile, name: str) -> pd.DataFrame:
    with archive.open(f"{name}.csv") as file:
        return read_rows(file)


def read_rows(csv: IO[bytes]) -> pd.DataFrame:
    """A table of results in which names are names: a domain may be called NA, and a method 1.50."""
    return pd.read_csv(csv, keep_default_na=False, na_values=[""], dtype=dict.fromkeys(TEXTS, "str"), low_memory=False)
