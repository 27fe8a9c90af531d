"""Quantiles of Student's t with whole degrees of freedom, from its closed form (Abramowitz & Stegun 1964, 26.7.3-4).

SciPy's would weigh more than all that rating answers needs besides.
"""

import math
from functools import cache

import numpy as np

__all__ = ["two_sided_probability", "two_sided_quantile"]


@cache
def two_sided_quantile(confidence: float, degrees: int) -> float:
    """The t for which |T| <= t with probability `confidence`, 0..1 exclusive; `degrees` of freedom, at least 1."""
    low, high = 0.0, math.pi / 2
    for _ in range(100):
        angle = (low + high) / 2
        low, high = (angle, high) if _within(angle, degrees) < confidence else (low, angle)
    return math.tan(angle) * math.sqrt(degrees)


def two_sided_probability(t: float, degrees: int) -> float:
    """The probability of |T| <= `t`, which is not negative."""
    return min(1.0, _within(math.atan(t / math.sqrt(degrees)), degrees))


def _within(angle: float, degrees: int) -> float:
    """The probability of |T| <= tan(angle) * sqrt(degrees)."""
    odd = degrees % 2
    steps = np.arange(1, degrees // 2)
    factors = (2 * steps - 1 + odd) / (2 * steps + odd) * math.cos(angle) ** 2
    series = 1 + np.cumprod(factors).sum()
    if not odd:
        return float(math.sin(angle) * series)
    rest = math.sin(angle) * math.cos(angle) * series if degrees > 1 else 0.0
    return float(2 / math.pi * (angle + rest))
