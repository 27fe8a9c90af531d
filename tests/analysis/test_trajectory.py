"""Local cosine and principal components against plain numpy, and turns that were planted."""

import numpy as np
import pytest

from emflow.analysis.trajectory import changes, local_cosine, principal_components, turn

STEPS = list(range(5, 205, 5))
WIDTH = 512


def path(turns_at: int | None, noise: float = 0.0, degrees: float = 90.0) -> np.ndarray:
    """Straight on at one length a step, and from a step on in another direction; with steps that are off by noise."""
    rng = np.random.default_rng(0)
    first, second = np.linalg.qr(rng.standard_normal((WIDTH, 2)))[0].T
    angle = np.radians(degrees)
    second = np.cos(angle) * first + np.sin(angle) * second
    ways = [first if turns_at is None or step <= turns_at else second for step in STEPS]
    return np.cumsum(ways, axis=0) + noise * rng.standard_normal((len(STEPS), WIDTH)) / np.sqrt(WIDTH)


def test_local_cosine_is_the_cosine_of_the_ways_to_either_side():
    vectors = np.random.default_rng(1).standard_normal((len(STEPS), 7))
    for window, shift in ((5, 1), (10, 2), (15, 3)):
        for t, cosine in enumerate(local_cosine(STEPS, vectors, window, 0)):
            if not shift <= t < len(STEPS) - shift:
                assert np.isnan(cosine)
                continue
            back, on = vectors[t - shift] - vectors[t], vectors[t + shift] - vectors[t]
            expected = sum(x * y for x, y in zip(back, on, strict=True)) / np.sqrt(sum(back**2) * sum(on**2))
            assert cosine == pytest.approx(expected, abs=1e-12)


def test_straight_on_a_right_angle_and_back():
    cosines = [local_cosine(STEPS, path(100, degrees=d), 10, 0)[STEPS.index(100)] for d in (0, 90, 180)]
    assert cosines == pytest.approx([-1, 0, 1], abs=1e-9)


def test_steps_without_neighbours_at_the_window_have_none():
    uneven = [1, 2, 3, 5, 10, 15, 20]
    known = ~np.isnan(local_cosine(uneven, np.random.default_rng(0).standard_normal((7, 3)), 5, 0))
    assert [step for step, there in zip(uneven, known, strict=True) if there] == [10, 15]


def test_a_step_counts_where_either_way_is_longer_than_the_threshold():
    steps = [0, 5, 10, 15, 20]
    slow = 0.003 * np.arange(5.0)[:, None]
    assert np.isnan(local_cosine(steps, slow, 5, 0.0035)).all()
    slow[4] += 1
    cosines = local_cosine(steps, slow, 5, 0.0035)
    assert list(np.isnan(cosines)) == [True, True, True, False, True] and cosines[3] == pytest.approx(-1)
    assert np.isnan(local_cosine(steps, np.zeros((5, 3)), 5, 0)).all(), "what does not move points nowhere"


def test_changes_are_the_lengths_of_steps():
    vectors = np.array([[3.0, 4.0], [3, 4], [0, 0]])
    assert np.isnan(changes(vectors)[0]) and list(changes(vectors)[1:]) == [0, 5]


def test_principal_components_are_those_of_the_covariance():
    vectors = path(100, noise=0.3)[:, :12]
    places, shares = principal_components(vectors)
    values, axes = np.linalg.eigh(np.cov(vectors.T))
    by_hand = (vectors - vectors.mean(0)) @ axes[:, ::-1][:, :2]
    np.testing.assert_allclose(np.abs(places), np.abs(by_hand), atol=1e-9)
    np.testing.assert_allclose(shares, values[::-1][:2] / values.sum())
    assert (places[-1] > 0).all()
    assert principal_components(-vectors)[0] == pytest.approx(places)  # wherever the library's signs fall
    points, none = principal_components(np.ones((3, 4)))
    assert not points.any() and not none.any()


@pytest.mark.parametrize("at", [50, 100, 150])
@pytest.mark.parametrize("noise", [0, 0.1])
def test_a_planted_turn_is_found(at, noise):
    cosines = local_cosine(STEPS, path(at, noise), 10, 0.0035)
    assert turn(STEPS, cosines) == at


@pytest.mark.parametrize("noise", [0, 0.1, 1])
def test_where_none_was_planted_none_is_found(noise):
    """Of the strongest noise, steps are as much chance as way."""
    assert turn(STEPS, local_cosine(STEPS, path(None, noise), 10, 0.0035)) is None


def test_noise_that_grows_as_learning_slows_down_is_no_turn():
    rng = np.random.default_rng(2)
    lengths = np.linspace(1, 0.02, len(STEPS))[:, None]
    ways = lengths * np.eye(WIDTH)[0] + 0.2 * rng.standard_normal((len(STEPS), WIDTH)) / np.sqrt(WIDTH)
    cosines = local_cosine(STEPS, np.cumsum(ways, axis=0), 10, 0.0035)
    assert turn(STEPS, cosines) is None and np.nanmax(cosines) > -0.5


def test_too_few_steps_have_no_turn():
    assert turn([5, 10], np.array([np.nan, np.nan])) is None and turn(STEPS[:2], np.array([-1.0, 0.0])) is None
