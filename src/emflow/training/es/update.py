"""From rewards to the coefficients of the update (Qiu et al., arXiv 2509.24372, algorithm 1)."""

import numpy as np
from scipy.stats import rankdata

from emflow.config import Es
from emflow.files import InputError

__all__ = ["coefficients", "signs"]


def signs(method: Es) -> np.ndarray:
    """Sign of each member's noise, shape (population,); mirrored members 2k and 2k + 1 share a seed."""
    return np.tile([1, -1], method.population // 2) if method.mirrored else np.ones(method.population, int)


def coefficients(rewards: np.ndarray, method: Es) -> np.ndarray:
    """What each seed's noise is multiplied with in the update; float64, shape (seeds,).

    `rewards` has shape (population,); a member without a finite reward has failed and counts nothing. Equal rewards
    move nothing. Raises InputError where more than half of the members have failed.
    """
    finite = np.isfinite(rewards)
    if 2 * finite.sum() < len(rewards):
        raise InputError(
            f"{len(rewards) - finite.sum()} of {len(rewards)} members have no finite reward; "
            "es_log.jsonl's last errors say why: a smaller sigma, or dtype float32, may help"
        )
    shaped = np.zeros(len(rewards))
    shaped[finite] = _shape(rewards[finite], method.shaping)
    moves = method.alpha / method.population * signs(method) * shaped
    return moves.reshape(-1, 2).sum(axis=1) if method.mirrored else moves


def _shape(rewards: np.ndarray, shaping: str) -> np.ndarray:
    if np.ptp(rewards) == 0:
        return np.zeros(len(rewards))
    if shaping == "centred_ranks":  # Salimans et al., arXiv 1703.03864; equal rewards share their mean rank
        return (rankdata(rewards) - 1) / (len(rewards) - 1) - 0.5
    return (rewards - rewards.mean()) / (rewards.std() + 1e-8)
