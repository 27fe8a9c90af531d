"""Quantiles of Student's t against SciPy's."""

import pytest
from scipy.stats import t

from emflow.analysis.student import two_sided_probability, two_sided_quantile


@pytest.mark.parametrize("confidence", [0.01, 0.5, 0.9, 0.95, 0.99, 0.9999])
def test_quantiles(confidence):
    degrees = [*range(1, 60), 99, 100, 999, 1000, 9_999]
    ours = [two_sided_quantile(confidence, d) for d in degrees]
    assert ours == pytest.approx([t.ppf((1 + confidence) / 2, d) for d in degrees], rel=1e-8)


@pytest.mark.parametrize("value", [0, 0.1, 1, 2.5, 12])
def test_probabilities(value):
    degrees = [*range(1, 60), 99, 100, 999, 1000, 9_999]
    ours = [two_sided_probability(value, d) for d in degrees]
    assert ours == pytest.approx([1 - 2 * t.sf(value, d) for d in degrees], abs=1e-10)
