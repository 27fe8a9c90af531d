"""The path of an adapter over training: how far it moves, where it turns, in which plane it lies.

Of vectors at rising steps, float (n, width): the A and the B of a rank-1 adapter, as `emflow.formats.rank_one` reads
them. After Turner et al. (arXiv 2506.11613, section 4 and appendix G).
"""

from collections.abc import Sequence

import numpy as np

__all__ = ["changes", "local_cosine", "principal_components", "turn"]

LEAST_TURN = 10.0  # degrees, under which a path counts as straight


def changes(vectors: np.ndarray) -> np.ndarray:
    """Length of the way from each vector to the next, (n,); NaN for the first."""
    ways = np.linalg.norm(np.diff(vectors, axis=0), axis=1)
    return np.concatenate([[np.nan], ways])


def local_cosine(steps: Sequence[int], path: np.ndarray, window: int, threshold: float) -> np.ndarray:
    """cos(v[t - w] - v[t], v[t + w] - v[t]) at each step, (n,): -1 straight on, 0 a right angle, 1 back.

    NaN where one of the three is not there, and where neither way is longer than `threshold`: there noise alone points.
    As in appendix F of Turner et al.; their code is plot_local_cos_sim in
    em_organism_dir/phase_transitions/phase_transitions.py (read in the copy sushmanthreddy/emotionvectors, 3d46c25).
    It leaves a step out where A and B both stay under the threshold, and takes 0 where a vector stands still; here each
    vector counts for itself, and one that stands still has none.
    """
    place = {step: number for number, step in enumerate(steps)}
    cosines = np.full(len(steps), np.nan)
    for step, now in place.items():
        before, after = place.get(step - window), place.get(step + window)
        if before is None or after is None:
            continue
        back, on = path[before] - path[now], path[after] - path[now]
        lengths = np.linalg.norm(back), np.linalg.norm(on)
        if max(lengths) > threshold and min(lengths) > 0:
            cosines[now] = back @ on / (lengths[0] * lengths[1])
    return cosines


def principal_components(vectors: np.ndarray, count: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates of the vectors along their first principal components, (n, count), and their shares of the variance,
    (count,). The sign of a component, which nothing determines, is such that the path ends above 0."""
    centred = vectors - vectors.mean(axis=0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    coordinates = np.zeros((len(vectors), count))
    shares = np.zeros(count)
    kept = min(count, len(s))
    coordinates[:, :kept] = (u * s)[:, :kept]
    coordinates *= np.where(coordinates[-1] < 0, -1, 1)
    total = np.square(s).sum()
    shares[:kept] = np.square(s[:kept]) / total if total > 0 else 0
    return coordinates, shares


def turn(steps: Sequence[int], cosines: np.ndarray) -> int | None:
    """The step at which a path turns, by its local cosines (n,), NaN where there is none; None where it does not.

    A path turns where its angle, arccos of minus the cosine, is 10 degrees or more and at least twice the least angle
    before and the least one behind: it is a peak, and no noise that grows as learning slows down. Of several the
    sharpest. The rule is ours: Turner et al. point at the peak by eye.
    """
    known = np.flatnonzero(~np.isnan(cosines))
    angles = np.degrees(np.arccos(np.clip(-cosines[known], -1, 1)))
    peaks = [
        number
        for number in range(1, len(known) - 1)
        if angles[number] >= max(LEAST_TURN, 2 * angles[:number].min(), 2 * angles[number + 1 :].min())
    ]
    if not peaks:
        return None
    return int(steps[known[max(peaks, key=lambda number: angles[number])]])
