"""What most sections are about: last checkpoints and bases, their counts per question, and their differences."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from emflow.analysis.intervals import RateDifference, difference, holm
from emflow.analysis.rates import base_question
from emflow.reporting.design import Design
from emflow.reporting.numbers import ANSWERED, RUN, Numbers
from emflow.reporting.words import run_name

__all__ = [
    "Counts",
    "along_training",
    "answerers",
    "differences",
    "last_and_base",
    "names_of",
    "peaks",
    "questions_asked",
    "shown_counts",
    "shown_rates",
    "trained_rows",
    "with_last",
]

SET = ["question_set", "judge"]
GROUP = [*RUN, *SET, "definition"]
NAMES = [*RUN, "reference", "checkpoint", *SET]


def shown_rates(rates: pd.DataFrame, design: Design) -> pd.DataFrame:
    """Rates under the definition that headline and figures show."""
    return rates[rates["definition"] == design.report.definition]


def trained_rows(rates: pd.DataFrame) -> pd.DataFrame:
    """Without the base."""
    return rates[rates["checkpoint"] != "base"]


def _last(rates: pd.DataFrame) -> pd.DataFrame:
    """Every run's last checkpoint."""
    trained = trained_rows(rates)
    return trained.loc[trained.groupby(GROUP, sort=False)["step"].idxmax()] if len(trained) else trained


def with_last(rates: pd.DataFrame) -> pd.DataFrame:
    """All rows, and those of the last checkpoints once more, by the name `last`."""
    return pd.concat([rates, _last(rates).assign(checkpoint="last")], ignore_index=True)


def last_and_base(rates: pd.DataFrame, design: Design, definition: str | None = None) -> pd.DataFrame:
    """Every run's last checkpoint and its base, with a `name` to print; a base that several runs share stands once.

    Under the definition that is shown, or the one that is named.
    """
    bases = rates[rates["checkpoint"] == "base"]
    counts = bases.groupby(["model", *SET, "definition"])[["n", "n_misaligned", "n_counted"]].transform("nunique")
    differ = (counts.max(axis=1) > 1).groupby([bases[key] for key in ("model", *SET)]).transform("any")
    rates = rates[rates["definition"] == (definition or design.report.definition)]
    base = rates[rates["checkpoint"] == "base"]
    own = base["question_set"].isin(design.held_out) | differ[base.index]  # answers of its own, so a rate per domain
    base = base.assign(name=base["model"] + " (base)" + (" on " + base["domain"]).where(own, ""))
    base = base.drop_duplicates(["name", *SET])
    last = _last(rates)
    last = last.assign(name=[run_name(row) for row in last.itertuples()])
    return pd.concat([base, last], ignore_index=True)


def along_training(rates: pd.DataFrame, design: Design) -> pd.DataFrame:
    """Rates of each run in the order of training, with what it started from first, as step 0: the base, or the
    checkpoint that its method's `init_from` names, where that answered the run's own questions. `answered_by` is the
    method that trained the answerer: another than `method` for such a start alone."""
    rates = rates.assign(answered_by=rates["method"])
    methods = design.config.methods if design.config else {}
    chained = {name: start for name, method in methods.items() if (start := method.init_from) is not None}
    of_chain = rates["method"].isin(list(chained))
    parts = [rates[~(of_chain & (rates["checkpoint"] == "base"))]]
    for name, start in chained.items():
        own = rates.loc[rates["method"] == name, [key for key in GROUP if key != "method"]].drop_duplicates()
        begun = rates[(rates["method"] == start.method) & (rates["checkpoint"] == start.checkpoint)]
        begun = begun[begun["domain"] == start.domain] if start.domain else begun
        parts.append(begun.merge(own).assign(method=name, step=0, epoch=0.0))
    return pd.concat(parts, ignore_index=True).sort_values("step", kind="stable")


def peaks(rates: pd.DataFrame, design: Design) -> pd.DataFrame:
    """Of every run its checkpoint with the highest EM rate, the first of equals."""
    trained = trained_rows(shown_rates(rates, design)).dropna(subset=["em_rate"])
    return trained.loc[trained.groupby(GROUP, sort=False)["em_rate"].idxmax()] if len(trained) else trained


def questions_asked(numbers: Numbers) -> "pd.Series[int]":
    """The number of questions by question set, of whoever was asked fewest; variants of one are one, as in rates."""
    bases = numbers.questions.assign(question_id=base_question(numbers.questions["question_id"]))
    each = bases.groupby(ANSWERED, sort=False, dropna=False)["question_id"].nunique()
    return each.groupby("question_set").min()


def answerers(table: pd.DataFrame) -> list[tuple[Any, ...]]:
    """Who answered, by row of a table with the columns `ANSWERED`; None for what has no name."""
    names = table[ANSWERED].astype(object)
    names[names.isna()] = None
    return list(names.itertuples(index=False, name=None))


def names_of(row: Any) -> list[tuple[Any, ...]]:
    """As whose the answers behind a row of rates may stand among `answerers`: a base's are shared by the runs of its
    model, but for questions of their own domain."""
    rest = (row.checkpoint, row.question_set, row.judge)
    shared = [(row.domain, None, None), (None, None, None)] if row.checkpoint == "base" else []
    return [(row.model, *who, *rest) for who in ((row.domain, row.method, row.seed), *shared)]


class Counts:
    """Misaligned and counted answers per base question, under one definition, by whoever answered."""

    def __init__(self, questions: pd.DataFrame, definition: str) -> None:
        rows = questions[(questions["definition"] == definition) & (questions["n_counted"] > 0)]
        rows = rows.assign(question_id=base_question(rows["question_id"]))
        number = rows.groupby(ANSWERED, sort=False, dropna=False).ngroup().to_numpy()
        codes, self._names = pd.factorize(rows["question_id"], sort=True)
        order = np.lexsort((codes, number))
        self._codes, self._counts = codes[order], rows[["n_misaligned", "n_counted"]].to_numpy()[order]
        first = np.flatnonzero(np.diff(number[order], prepend=-1))
        spans = zip(first, np.append(first, len(order))[1:], strict=True)
        self._of = {who: slice(*ends) for who, ends in zip(answerers(rows.iloc[order[first]]), spans, strict=True)}

    def of(self, *rows: Any) -> tuple[list[str], np.ndarray]:
        """Of rows of rates, as from `itertuples`, side by side: the questions of which any counted an answer, and
        counts, int (rows, questions, 2)."""
        found = [self._place(row) for row in rows]
        codes = np.unique(np.concatenate([self._codes[place] for place in found]))
        counts = np.zeros((len(rows), len(codes), 2), dtype=int)
        for side, place in zip(counts, found, strict=True):  # variants of a question add up
            np.add.at(side, np.searchsorted(codes, self._codes[place]), self._counts[place])
        return list(self._names[codes]), counts

    def _place(self, row: Any) -> slice:
        """Where the counts of a row of rates stand; nowhere where nothing was counted."""
        who = self.whose(row)
        return slice(0, 0) if who is None else self._of[who]

    def whose(self, row: Any) -> tuple[Any, ...] | None:
        """As whose the counts behind a row of rates stand: one for all runs that share a base's; None for nobody's."""
        return next((who for who in names_of(row) if who in self._of), None)

    def difference(self, row: Any, other: Any, confidence: float) -> RateDifference:
        """EM rate of one row of rates minus that of another, paired by question."""
        _, (first, second) = self.of(row, other)
        return difference(first, second, confidence)


@lru_cache(maxsize=1)  # the headline and sections ask for the same
def shown_counts(numbers: Numbers, design: Design) -> Counts:
    """Under the definition that headline and figures show."""
    return Counts(numbers.questions, design.report.definition)


@lru_cache(maxsize=1)  # the headline and its section ask for the same
def differences(numbers: Numbers, design: Design) -> pd.DataFrame:
    """EM rate of every run's last checkpoint minus that of its reference, with intervals over questions, paired.

    The reference is the run's control where there is one, else its base; what has neither has no row. Columns: the run,
    `reference` (a domain, or `base`), checkpoint, question_set, judge, `em_rate`, `em_rate_reference`, `difference`,
    `lo`, `hi`, `p`, and `p_holm`, which allows for all rows.
    """
    counts, rows = shown_counts(numbers, design), []
    for row, other in _pairs(shown_rates(numbers.rates, design), design):
        found = counts.difference(row, other, design.report.confidence)
        reference = "base" if other.checkpoint == "base" else other.domain
        names = [row.model, row.domain, row.method, row.seed, reference, row.checkpoint, row.question_set, row.judge]
        rows.append([*names, row.em_rate, other.em_rate, *found])
    gaps = pd.DataFrame(rows, columns=[*NAMES, "em_rate", "em_rate_reference", *RateDifference._fields])
    return gaps.assign(p_holm=holm(gaps["p"].to_numpy(dtype=float)) if rows else np.array([]))


def _pairs(shown: pd.DataFrame, design: Design) -> Iterator[tuple[Any, Any]]:
    """Each last checkpoint and its reference, controls first."""
    last = list(_last(shown).itertuples())
    row: Any
    of_run = {(row.model, row.domain, row.method, row.seed, row.question_set, row.judge): row for row in last}
    base = {
        (row.model, row.domain, row.method, row.seed, row.question_set, row.judge): row
        for row in shown[shown["checkpoint"] == "base"].itertuples()
    }
    for row in last:
        rest = (row.method, row.seed, row.question_set, row.judge)
        control = of_run.get((row.model, design.controls.get(row.domain, ""), *rest))
        other = control or base.get((row.model, row.domain, *rest))
        if other is not None:
            yield row, other
