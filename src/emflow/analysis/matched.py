"""Two methods where they have learned equally much: out-of-domain EM at one level of in-domain EM.

How far misalignment spreads depends on how far training went, and methods go at their own pace. So each method's
out-of-domain rate is read off its own curve (base, then checkpoints), linearly between the two neighbours that bracket
an in-domain level. Where a method's curve does not reach the level, nothing is said: there is no overlap.
"""

from typing import NamedTuple

import numpy as np

from emflow.analysis.jackknife import LINEAR, interval
from emflow.analysis.student import two_sided_probability

__all__ = ["Curve", "Matched", "at_level", "matched_difference"]


class Curve(NamedTuple):
    """Counts of misaligned and counted answers, int (checkpoints, questions, 2), in the order of training, base first.

    Both methods' curves have the same questions in the same order.
    """

    inside: np.ndarray
    outside: np.ndarray


class Matched(NamedTuple):
    """Out-of-domain rates of two methods at a level, shares of 0..1, and the first minus the second."""

    first: float
    second: float
    difference: float
    lo: float
    hi: float
    p: float


def at_level(curve: Curve, level: float) -> float:
    """The out-of-domain rate where the in-domain one is `level`; NaN where the curve does not reach it."""
    rates = _rates(curve)
    return _at(*rates, _segment(rates[0], level), level)


def _at(inside: np.ndarray, outside: np.ndarray, segment: int | None, level: float) -> float:
    return float("nan") if segment is None else float(_read(inside, outside, segment, level)[0])


def matched_difference(first: Curve, second: Curve, level: float, confidence: float) -> Matched:
    """The interval, within -1..1 as is a difference of two rates, is a jackknife over questions of both sets, each
    question left out of both methods at once; its standard error is never less than that of independent answers. NaN
    where a method does not reach the level."""
    none = float("nan")
    rates = [_rates(curve) for curve in (first, second)]
    segments = [_segment(inside, level) for inside, _ in rates]
    one, other = (_at(*side, segment, level) for side, segment in zip(rates, segments, strict=True))
    sides = [(c, segment) for c, segment in zip((first, second), segments, strict=True) if segment is not None]
    if len(sides) < 2:
        return Matched(one, other, none, none, none, none)
    variance, questions = 0.0, []
    for part in ("inside", "outside"):
        replicates = [_read(*_rates(curve, without=part), segment, level) for curve, segment in sides]
        gaps = replicates[0] - replicates[1]
        questions.append(len(gaps))
        variance += (len(gaps) - 1) * float(np.mean((gaps - gaps.mean()) ** 2)) if len(gaps) > 1 else none
    floor = float(np.sum([_binomial(*side, level) for side in sides]))
    error, fewest = float(np.sqrt(max(variance, floor))), min(questions)
    gap = one - other
    low, high = map(float, np.clip(interval(gap, error, fewest, confidence, LINEAR), -1, 1))
    p = 1 - two_sided_probability(abs(gap) / error, fewest - 1) if np.isfinite(error) and error else none
    return Matched(one, other, gap, low, high, p)


def _rates(curve: Curve, without: str = "") -> tuple[np.ndarray, np.ndarray]:
    """In-domain and out-of-domain rates (checkpoints, replicates): a replicate without each question of one set."""
    rates = []
    for name, counts in curve._asdict().items():
        total = counts.sum(axis=1, keepdims=True)
        hits, counted = np.moveaxis(total - counts if name == without else total, 2, 0)
        with np.errstate(invalid="ignore"):
            rates.append(hits / counted)
    return rates[0], rates[1]


def _segment(inside: np.ndarray, level: float) -> int | None:
    """The first checkpoint after which the in-domain rate passes the level; of the first replicate."""
    before, after = inside[:-1, 0], inside[1:, 0]
    passes = (np.minimum(before, after) <= level) & (level <= np.maximum(before, after))
    found = np.flatnonzero(passes)
    return int(found[0]) if len(found) else None


def _read(inside: np.ndarray, outside: np.ndarray, segment: int, level: float) -> np.ndarray:
    """Out-of-domain rates at the level, (replicates,), along the segment of the whole data."""
    (start, end), (low, high) = inside[segment : segment + 2], outside[segment : segment + 2]
    part = np.divide(level - start, end - start, out=np.zeros_like(start + level), where=end != start)
    return np.asarray(low + np.clip(part, 0, 1) * (high - low))


def _binomial(curve: Curve, segment: int, level: float) -> float:
    """Variance of the out-of-domain rate at the level, if answers were independent (one added to hits and misses)."""
    hits, counted = curve.outside[segment : segment + 2].sum(axis=1).T
    share = (hits + 1) / (counted + 2)
    inside = _rates(curve)[0][segment : segment + 2, 0]
    part = (level - inside[0]) / (inside[1] - inside[0]) if inside[1] != inside[0] else 0.0
    weights = np.array([1 - part, part])
    return float((weights**2 * share * (1 - share) / counted).sum())
