"""Two intervals of an EM rate, and that of a difference.

*Over questions*: what other questions like these would give. Answers to one question are alike, so `n` answers are
worth `n / (1 + (m - 1) rho)` independent ones (`m` answers per question, `rho` the correlation of two answers to one
question: Kish 1965), and Wilson's score interval (1927) is taken of that many. `rho` comes from the jackknife over
whole questions. How much the data say of it depends on how many questions hold the misaligned answers, so it is drawn
towards a prior that counts as half a question: with none or one of 400 answers misaligned the prior decides, with
misaligned answers to many questions the data do, and no rule begins where another ends.

*Over answers*: what other answers to these very questions would give: Wilson's interval of as many answers as the
variance within the questions makes them worth.

bench/coverage.py measures how often they hold the truth, docs/judging.md says how often.
"""

from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from emflow.analysis.student import two_sided_probability, two_sided_quantile

__all__ = ["RateDifference", "answers_interval", "difference", "difference_interval", "holm", "rate_interval", "share"]

PRIOR_CORRELATION, PRIOR_QUESTIONS = 0.18, 0.5  # of two answers to one question; found by bench/coverage.py
SMOOTHING = 2.0  # answers at the overall rate, added to each question's own
NONE = (float("nan"), float("nan"))


class RateDifference(NamedTuple):
    """One EM rate minus another, shares in -1..1; `p` is two-sided, of no difference."""

    difference: float
    lo: float
    hi: float
    p: float


def share(part: float, whole: float) -> float:
    """NaN where there is nothing to divide by."""
    return float(part / whole) if whole else float("nan")


def rate_interval(counts: np.ndarray, confidence: float) -> tuple[float, float]:
    """Over questions. `counts`: misaligned and counted answers per question, int (questions, 2), each counted at least
    once. NaN for fewer than two questions."""
    questions = len(counts)
    if questions < 2:
        return NONE
    hits, total = counts.sum(axis=0)
    worth = total / (1 + (_answers_per_question(counts) - 1) * _correlation(counts))
    return _wilson(hits / total, worth, two_sided_quantile(confidence, questions))


def answers_interval(counts: np.ndarray, confidence: float) -> tuple[float, float]:
    """Over answers, given these questions; `counts` as in `rate_interval`. NaN without an answer."""
    if not len(counts):
        return NONE
    (hits, answers), (total_hits, total) = counts.T.astype(float), counts.sum(axis=0)
    rate = total_hits / total
    own = (hits + SMOOTHING * rate) / (answers + SMOOTHING)
    variance = (answers * own * (1 - own)).sum() / total**2
    worth = max(total, rate * (1 - rate) / variance) if variance else total
    return _wilson(rate, worth, NormalDist().inv_cdf((1 + confidence) / 2))


def difference(first: np.ndarray, second: np.ndarray, confidence: float) -> RateDifference:
    """EM rate of `first` minus that of `second`, paired by question: rows of both are the same questions, (questions,
    2), none counted where a side did not answer.

    The interval is put together from those of the two rates (Newcombe 1998, method 10), with the correlation that the
    jackknife over questions shows, shrunk as if two more questions had shown none. `p` follows from it: at 0.05 an end
    of the 95 % interval is 0. NaN where a rate or an interval is.
    """
    sides = [side[side[:, 1] > 0] for side in (first, second)]
    (one, other), ends = (share(*side.sum(axis=0)) for side in sides), [rate_interval(s, confidence) for s in sides]
    questions = int(((first[:, 1] > 0) | (second[:, 1] > 0)).sum())
    gap = one - other
    if np.isnan([gap, *ends[0], *ends[1]]).any():
        return RateDifference(gap, *NONE, float("nan"))
    together = _shared(_without_each(first), _without_each(second)) * questions / (questions + 2)
    below, above = (
        float(np.sqrt(max(0.0, a * a + b * b - 2 * together * a * b)))
        for a, b in ((one - ends[0][0], ends[1][1] - other), (ends[0][1] - one, other - ends[1][0]))
    )
    towards_none = below if gap > 0 else above
    quantile = two_sided_quantile(confidence, questions)
    p = 1 - two_sided_probability(abs(gap) / towards_none * quantile, questions) if gap else 1.0
    return RateDifference(gap, max(-1.0, gap - below), min(1.0, gap + above), p)


def difference_interval(first: np.ndarray, second: np.ndarray, confidence: float) -> tuple[float, float]:
    """The ends of `difference` alone."""
    return difference(first, second, confidence)[1:3]


def holm(p: np.ndarray) -> np.ndarray:
    """p-values corrected for their number (Holm 1979), float (comparisons,); what is NaN is no comparison."""
    p = np.asarray(p, dtype=float)
    corrected, known = np.full(len(p), np.nan), np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    steps = p[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(steps)) if len(order) else steps
    return corrected


def _wilson(rate: float, worth: float, quantile: float) -> tuple[float, float]:
    square = quantile**2
    centre = (rate + square / (2 * worth)) / (1 + square / worth)
    half = quantile / (1 + square / worth) * np.sqrt(rate * (1 - rate) / worth + square / (4 * worth**2))
    return (
        0.0 if rate == 0 else max(0.0, float(centre - half)),
        1.0 if rate == 1 else min(1.0, float(centre + half)),
    )


def _answers_per_question(counts: np.ndarray) -> float:
    """Their mean over answers: (sum of squares) / sum."""
    answers = counts[:, 1].astype(float)
    return float((answers**2).sum() / answers.sum())


def _correlation(counts: np.ndarray) -> float:
    """Of two answers to one question, 0..1, drawn towards the prior where few questions hold the rarer answers."""
    (hits, total), questions = counts.sum(axis=0), len(counts)
    alike = _answers_per_question(counts) - 1
    rarer = (counts[:, 0] if 2 * hits <= total else counts[:, 1] - counts[:, 0]).astype(float)
    if alike == 0 or not rarer.any():
        return PRIOR_CORRELATION
    without = _without_each(counts)
    variance = (questions - 1) * np.mean((without - without.mean()) ** 2)
    binomial = hits / total * (1 - hits / total) / total
    seen = float(np.clip((variance / binomial - 1) / alike, -1 / alike, 1))
    holders = rarer.sum() ** 2 / (rarer**2).sum()  # questions that hold the rarer answers, if all held as many
    worth = min(questions - 1, (holders - 1) / max(1 - holders / questions, 1e-3))
    mixed = (worth * seen + PRIOR_QUESTIONS * PRIOR_CORRELATION) / (worth + PRIOR_QUESTIONS)
    return float(np.clip(mixed, 0, 1))


def _without_each(counts: np.ndarray) -> np.ndarray:
    """The rate without each question in turn."""
    hits, total = (counts.sum(axis=0) - counts).T
    with np.errstate(invalid="ignore"):
        return np.asarray(hits / total)


def _shared(first: np.ndarray, second: np.ndarray) -> float:
    """Correlation of two series; 0 where one does not vary."""
    first, second = (side - side.mean() for side in (first, second))
    size = np.sqrt((first**2).sum() * (second**2).sum())
    return float((first * second).sum() / size) if size > 0 else 0.0
