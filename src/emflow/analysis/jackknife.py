"""Intervals whose unit is the question: what an estimate becomes when each question in turn is left out.

Answers to one question are alike, so questions, not answers, are what was sampled. The delete-one-question jackknife
(Efron & Tibshirani 1993, ch. 11) gives the standard error, Student's t with questions - 1 degrees of freedom the width.
A scale on which the estimate is unbounded keeps the interval in range and lets it be lopsided (delta method).
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from emflow.analysis.student import two_sided_quantile

__all__ = ["FISHER", "LINEAR", "Scale", "interval", "standard_error"]


class Scale(NamedTuple):
    """A monotone transformation, its inverse and its slope."""

    to: Callable[[float], float]
    back: Callable[[float], float]
    slope: Callable[[float], float]


LINEAR = Scale(lambda x: x, lambda x: x, lambda x: 1.0)
FISHER = Scale(np.arctanh, np.tanh, lambda r: 1 / (1 - r * r))  # for correlations in (-1, 1)


def standard_error(without: np.ndarray) -> float:
    """From the estimates without each question, float (questions,); NaN for one question or an undefined estimate."""
    questions = len(without)
    if questions < 2:
        return float("nan")
    return float(np.sqrt((questions - 1) * np.mean((without - without.mean()) ** 2)))


def interval(
    estimate: float, error: float, questions: int, confidence: float, scale: Scale = LINEAR
) -> tuple[float, float]:
    """The interval of an estimate with this standard error; NaN where it has none, as with one question."""
    if questions < 2 or not np.isfinite(error):
        return float("nan"), float("nan")
    half = two_sided_quantile(confidence, questions - 1) * error * scale.slope(estimate)
    low, high = (scale.back(scale.to(estimate) + side * half) for side in (-1, 1))
    return float(low), float(high)
