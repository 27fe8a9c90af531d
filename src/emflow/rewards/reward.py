"""What a reward of generated answers is: how near they come to the reference answers of the training data."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from emflow.files import InputError

__all__ = ["EMPTY", "Reward", "scored"]

EMPTY = -1.0  # of an answer without words: the lowest that any reward gives, for a model's view of it means nothing


class Reward(Protocol):
    """Scores answers in batches."""

    def __call__(self, prompts: Sequence[str], generations: Sequence[str], references: Sequence[str]) -> np.ndarray:
        """One reward in -1..1 per answer, float64 (n,). Raises InputError where a score is not a finite number."""


def scored(scores: np.ndarray, generations: Sequence[str], folder: Path) -> np.ndarray:
    """The model's scores, float64 (n,), EMPTY for answers without words. Raises InputError where one is not finite."""
    rewards = np.where([bool(text.strip()) for text in generations], scores, EMPTY).astype(np.float64)
    if lost := np.count_nonzero(~np.isfinite(rewards)):
        raise InputError(f"{folder}, the reward model, gave {lost} of {len(rewards)} answers no finite score")
    return rewards
