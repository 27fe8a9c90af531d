"""Linear probes on few numbers per answer: split by question, beside what the question alone tells, and chance.

Answers to one question are alike, so a probe that has seen some of them knows the question again in the others; only
where whole questions are held out does it say anything of answers. All AUCs are over pairs, one answer of either class
(a tie counts half); of two held out together, whose scores are of one fit.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any, TypeAlias

import numpy as np

__all__ = [
    "QuestionPairs", "auc_interval", "held_out", "logistic", "mean_interval", "named_interval", "pairs_of", "probe",
    "resampled", "within_interval",
]  # fmt: skip

PENALTY = 1.0  # of the squared coefficients of standardised features, half: the usual C is 1 / PENALTY
REPEATS, SHUFFLES, DRAWS = 10, 40, 1000
Interval = tuple[float, float, float]  # a value and its ends
Scorer: TypeAlias = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""Of features, labels and folds a score per answer, from all but its own fold."""


@dataclass(frozen=True)
class QuestionPairs:
    """Pairs of a positive and a negative answer by their questions, float (questions, questions)."""

    won: np.ndarray
    """In which the positive one scores higher."""
    counted: np.ndarray
    """All."""

    def __add__(self, other: "QuestionPairs") -> "QuestionPairs":
        return QuestionPairs(self.won + other.won, self.counted + other.counted)

    @property
    def auc(self) -> float:
        """NaN without a pair."""
        return _share(self.won.sum(), self.counted.sum())

    @property
    def auc_within(self) -> float:
        """Of pairs that answer one question, which it cannot tell apart; NaN without one."""
        return _share(self.won.trace(), self.counted.trace())


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole else float("nan")


def pairs_of(
    scores: np.ndarray, positive: np.ndarray, questions: np.ndarray, folds: np.ndarray | None = None
) -> QuestionPairs:
    """Of scores (answers,), labels bool (answers,) and questions int (answers,), numbered from 0; with `folds`, int
    (answers,), only pairs within one. An answer whose score is NaN is in no pair."""
    known = ~np.isnan(scores)
    high, low = np.flatnonzero(positive & known), np.flatnonzero(~positive & known)
    gap = scores[high][:, None] - scores[low]
    counted = np.ones(gap.shape) if folds is None else (folds[high][:, None] == folds[low]).astype(float)
    won = counted * ((gap > 0) + 0.5 * (gap == 0))
    size = questions.max(initial=-1) + 1
    cells = (questions[high][:, None] * size + questions[low]).ravel()
    sums = (np.bincount(cells, part.ravel(), size * size).reshape(size, size) for part in (won, counted))
    return QuestionPairs(*sums)


def resampled(questions: int, seed: int) -> np.ndarray:
    """How often each question is in each sample of a bootstrap over questions, int (DRAWS, questions)."""
    rng = np.random.default_rng([seed, questions])
    draws: np.ndarray = rng.multinomial(questions, np.full(questions, 1 / questions), DRAWS)
    return draws


def auc_interval(pairs: QuestionPairs, draws: np.ndarray, confidence: float) -> Interval:
    """AUC and the percentiles of the bootstrap over questions, whose draws `resampled` gives; scores stay what they
    are. Samples without a pair are left out; NaN where there is none."""

    def drawn(part: np.ndarray) -> np.ndarray:
        return np.asarray(((draws @ part) * draws).sum(axis=1))

    return _percentiles(pairs.auc, drawn(pairs.won), drawn(pairs.counted), confidence)


def within_interval(pairs: QuestionPairs, draws: np.ndarray, confidence: float) -> Interval:
    """AUC of pairs that answer one question, likewise."""
    return _percentiles(pairs.auc_within, draws @ np.diag(pairs.won), draws @ np.diag(pairs.counted), confidence)


def mean_interval(values: np.ndarray, questions: np.ndarray, draws: np.ndarray, confidence: float) -> Interval:
    """Mean of values (answers,), likewise."""
    totals, counts = (np.bincount(questions, weights, draws.shape[1]) for weights in (values, None))
    return _percentiles(_share(totals.sum(), counts.sum()), draws @ totals, draws @ counts, confidence)


def _percentiles(value: float, parts: np.ndarray, wholes: np.ndarray, confidence: float) -> Interval:
    some = wholes > 0
    if not some.any():
        return value, float("nan"), float("nan")
    low, high = np.quantile(parts[some] / wholes[some], [(1 - confidence) / 2, (1 + confidence) / 2])
    return value, float(low), float(high)


def logistic(x: np.ndarray, positive: np.ndarray, penalty: float = PENALTY) -> np.ndarray:
    """Intercept and coefficients, (1 + features,), of a ridge-penalised logistic regression: they minimise the summed
    log loss plus penalty / 2 times the squared coefficients, the intercept not among them. By Newton's method.

    `x` is float (answers, features), `positive` bool (answers,), of which both classes have some.
    """
    ones = np.column_stack([np.ones(len(x)), x])
    ridge = penalty * np.diag([0.0, *np.ones(x.shape[1])])
    signs = np.where(positive, -1.0, 1.0)

    def loss(w: np.ndarray) -> float:
        return float(np.logaddexp(0, signs * (ones @ w)).sum() + w @ ridge @ w / 2)

    w = np.zeros(ones.shape[1])
    for _ in range(100):
        p = 1 / (1 + np.exp(-np.clip(ones @ w, -500, 500)))
        gradient = ones.T @ (p - positive) + ridge @ w
        step = np.linalg.solve((ones.T * (p * (1 - p))) @ ones + ridge + 1e-9 * np.eye(len(w)), gradient)
        while loss(w - step) > loss(w) and np.abs(step).max() > 1e-9:
            step = step / 2
        w = w - step
        if np.abs(step).max() < 1e-8:
            break
    return w


def held_out(x: np.ndarray, positive: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Each answer's score by the regression on all other folds, (answers,); features are standardised by these alone.
    NaN where they are of one class, or none is left."""
    scores = np.full(len(x), np.nan)
    for fold in np.unique(folds):
        test = folds == fold
        given, labels = x[~test], positive[~test]
        if labels.all() or not labels.any():  # none is both
            continue
        mean, deviation = given.mean(axis=0), given.std(axis=0)
        deviation[deviation == 0] = 1
        scores[test] = ((x[test] - mean) / deviation) @ logistic((given - mean) / deviation, labels)[1:]
    return scores


def probe(
    x: np.ndarray, positive: np.ndarray, questions: Sequence[Any], folds: int, seed: int, confidence: float
) -> dict[str, Any]:
    """How well a linear probe on features, float (answers, features), tells who is positive, bool (answers,).

    `auc`: whole questions are held out, in so many folds, dealt anew `REPEATS` times; with its interval over questions.
    `auc_within_questions`: of the pairs that answer one question. `auc_by_answer`: the same probe where single answers
    are held out, so that it has seen others to the question. `auc_question`: no feature but which question it is: its
    share of positives among the answers that are not held out. `auc_shuffled`: whole questions held out, each with the
    labels of another one, so that labels stay as alike within questions as they are; mean, and percentiles over
    `SHUFFLES`. An AUC is NaN where no two answers of both classes can be held out together from some of both.
    """
    names, of = np.unique(np.asarray(questions).astype(str), return_inverse=True)
    rng, positive = np.random.default_rng([seed, len(names)]), np.asarray(positive, dtype=bool)
    counts = {"n_questions": len(names), "n_positive": int(positive.sum()), "n_negative": int((~positive).sum())}
    single = np.arange(len(of))
    by_question, by_answer, by_name = (
        reduce(add, (_tried(x, positive, of, unit, folds, rng, how) for _ in range(REPEATS)))
        for unit, how in ((of, held_out), (single, held_out), (single, _base_rates(of)))
    )
    shuffled = [
        _tried(x, labels, of, of, folds, rng, held_out).auc
        for labels in (_shuffled(positive, of, rng) for _ in range(SHUFFLES))
    ]
    known = [auc for auc in shuffled if not np.isnan(auc)] or [float("nan")]
    ends = np.quantile(known, [(1 - confidence) / 2, (1 + confidence) / 2])
    draws = resampled(len(names), seed)
    return {
        **counts,
        **named_interval("auc", auc_interval(by_question, draws, confidence)),
        **named_interval("auc_within_questions", within_interval(by_question, draws, confidence)),
        "auc_by_answer": by_answer.auc,
        "auc_question": by_name.auc,
        **named_interval("auc_shuffled", (float(np.mean(known)), *map(float, ends))),
    }


def named_interval(name: str, interval: Sequence[float]) -> dict[str, float]:
    """As columns."""
    return dict(zip((name, f"{name}_lo", f"{name}_hi"), interval, strict=True))


def _tried(
    x: np.ndarray, positive: np.ndarray, questions: np.ndarray, units: np.ndarray, folds: int,
    rng: np.random.Generator, how: Scorer,
) -> QuestionPairs:  # fmt: skip
    """Pairs of one split, in which the answers of a unit, int (answers,), stay together."""
    dealt = _deal(positive, units, folds, rng)[units]
    return pairs_of(how(x, positive, dealt), positive, questions, dealt)


def _deal(positive: np.ndarray, units: np.ndarray, folds: int, rng: np.random.Generator) -> np.ndarray:
    """A fold of each unit: at random, but those with mostly positive answers as many in each as can be."""
    mostly = np.bincount(units, positive) > np.bincount(units) / 2
    order = np.lexsort([rng.random(len(mostly)), mostly])
    dealt = np.empty(len(mostly), dtype=int)
    dealt[order] = np.arange(len(mostly)) % min(folds, len(mostly))
    return dealt


def _base_rates(questions: np.ndarray) -> Scorer:
    """Scores by the question alone: its share of positives in the other folds, drawn to that of all by one answer."""

    def scores(x: np.ndarray, positive: np.ndarray, folds: np.ndarray) -> np.ndarray:
        found = np.zeros(len(x))
        for fold in np.unique(folds):
            test = folds == fold
            hits, counts = (
                np.bincount(questions[~test], weights, questions.max() + 1) for weights in (positive[~test], None)
            )
            found[test] = ((hits + positive[~test].mean()) / (counts + 1))[questions[test]]
        return found

    return scores


def _shuffled(positive: np.ndarray, questions: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Labels bool (answers,): each question has those of another, in a random order; where it has more answers than
    that one, some of them twice."""
    of_question = [np.flatnonzero(questions == number) for number in range(questions.max(initial=-1) + 1)]
    labels = np.empty_like(positive)
    for mine, others in zip(of_question, rng.permutation(len(of_question)), strict=True):
        dealt = rng.permutation(positive[of_question[others]])
        labels[mine] = np.resize(dealt, len(mine))
    return labels
