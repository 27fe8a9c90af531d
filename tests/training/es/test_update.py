"""Coefficients: the published form, its options, and rewards that fail."""

import numpy as np
import pytest

from emflow.files import InputError
from emflow.training.es.update import coefficients


def of(method, **changes):
    return method.model_copy(update={"population": 4, "alpha": 0.4, **changes})


def test_published_form_is_alpha_over_n_times_z(method):
    rewards = np.array([1.0, 2.0, 4.0, 5.0])
    expected = 0.4 / 4 * (rewards - 3) / (np.sqrt(2.5) + 1e-8)
    np.testing.assert_allclose(coefficients(rewards, of(method)), expected)


def test_equal_rewards_move_nothing(method):
    for shaping in ("z_score", "centred_ranks"):
        assert (coefficients(np.full(4, 0.1), of(method, shaping=shaping)) == 0).all()


@pytest.mark.parametrize("failed", [np.nan, np.inf, -np.inf])
def test_failed_members_count_nothing(method, failed):
    moves = coefficients(np.array([1.0, failed, 3.0, 2.0]), of(method))
    assert moves[1] == 0
    np.testing.assert_allclose(moves[[0, 2, 3]] / (0.4 / 4), np.array([-1, 1, 0]) / np.sqrt(2 / 3), atol=1e-7)


def test_more_than_half_failed_is_an_error(method):
    with pytest.raises(InputError, match="3 of 4 members have no finite reward"):
        coefficients(np.array([1.0, np.nan, np.nan, np.nan]), of(method))


def test_centred_ranks_do_not_see_the_size_of_rewards(method):
    moves = coefficients(np.array([0.0, 1000.0, 1.0, 1.0]), of(method, shaping="centred_ranks"))
    np.testing.assert_allclose(moves / 0.1, [-0.5, 0.5, 0.0, 0.0], atol=1e-12)


def test_mirrored_pairs_share_a_seed(method):
    plain = coefficients(np.array([1.0, 2.0, 4.0, 5.0]), of(method))
    mirrored = coefficients(np.array([1.0, 2.0, 4.0, 5.0]), of(method, mirrored=True))
    np.testing.assert_allclose(mirrored, [plain[0] - plain[1], plain[2] - plain[3]])
