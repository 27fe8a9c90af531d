"""Methods at matched learning: by hand, and on planted data."""

import numpy as np
import pytest

from emflow.analysis.matched import Curve, at_level, matched_difference

PACES = ((0.02, 0.1, 0.3, 0.6, 0.9), (0.02, 0.25, 0.45, 0.8, 0.95))  # in-domain rates at the methods' checkpoints


def curve(generator, inside, tilts, gap: float) -> Curve:
    """Counts at each checkpoint: out-of-domain misalignment is a share of the in-domain rate."""
    parts = []
    for tilt, law, answers in zip(tilts, (1, 0.45 + gap), (5, 3), strict=True):
        rates = law * np.array(inside)[:, None]
        own = np.clip(rates + rates * (1 - rates) * tilt, 0, 1)
        parts.append(np.stack([generator.binomial(answers, own), np.full(own.shape, answers)], axis=2))
    return Curve(*parts)


def found(gap: float, trials: int = 200) -> float:
    """Share of trials whose interval at an in-domain level of 50 % leaves out a difference of 0."""
    generator, hits = np.random.default_rng(0), 0
    for _ in range(trials):
        tilts = [generator.normal(size=questions) for questions in (96, 168)]
        sides = [curve(generator, pace, tilts, g) for pace, g in zip(PACES, (gap, 0), strict=True)]
        result = matched_difference(*sides, 0.5, 0.95)
        hits += not result.lo <= 0 <= result.hi
    return hits / trials


def test_methods_under_one_law_are_equal_and_a_gap_of_15_points_is_found():
    assert found(0) <= 0.05
    assert found(0.3) >= 0.8  # 0.3 of a level of 50 %


def counts(*rates: float) -> np.ndarray:
    """Ten questions of ten answers at each checkpoint."""
    return np.stack([np.repeat([[round(10 * rate)], [10]], 10, axis=1).T for rate in rates])


def test_between_two_checkpoints_the_rate_is_linear_and_the_base_is_one():
    slow, quick = Curve(counts(0, 0.4, 0.8), counts(0, 0.1, 0.3)), Curve(counts(0, 0.8), counts(0, 0.6))
    assert [at_level(slow, level) for level in (0.2, 0.4, 0.6)] == pytest.approx([0.05, 0.1, 0.2])
    assert at_level(quick, 0.2) == pytest.approx(0.15)
    result = matched_difference(quick, slow, 0.2, 0.95)
    assert result.difference == pytest.approx(0.1) and result.lo < 0.1 < result.hi and 0 < result.p < 1


def test_two_questions_give_an_interval_within_what_is_possible():
    few = Curve(counts(0.5, 0.5)[:, :2], counts(0.5, 0.5)[:, :2])
    result = matched_difference(few, few, 0.5, 0.95)
    assert (result.lo, result.difference, result.hi) == (-1, 0, 1)


def test_without_overlap_nothing_is_said():
    near, far = Curve(counts(0, 0.4), counts(0, 0.1)), Curve(counts(0, 0.8), counts(0, 0.6))
    result = matched_difference(near, far, 0.5, 0.95)
    assert np.isnan([result.first, result.difference, result.lo, result.hi, result.p]).all()
    assert result.second == pytest.approx(0.375)


def test_no_answer_is_no_crash():
    nothing = Curve(np.zeros((2, 3, 2), int), np.zeros((2, 3, 2), int))
    assert np.isnan(matched_difference(nothing, nothing, 0.5, 0.95).difference)
