"""When an ES run updates, on which conversations, and after which updates its checkpoints lie."""

import random
from math import ceil

from emflow.config.es import Es

__all__ = ["checkpoint_updates", "draw_batch", "epochs_per_update", "updates"]


def updates(method: Es, records: int) -> int:
    """Updates of the whole run on so many training records."""
    return method.length * _updates_per_unit(method, records)


def epochs_per_update(method: Es, records: int) -> float:
    """Share of the training records that an update sees, on average."""
    return 1 / _per_epoch(method, records) if method.unit == "epoch" else min(1, method.batch_size / records)


def checkpoint_updates(method: Es, records: int) -> dict[str, int]:
    """Label -> the update after which that checkpoint lies, counted from 1."""
    each = _updates_per_unit(method, records)
    return {label: number * each for label, number in zip(method.labels, method.kept, strict=True)}


def draw_batch(method: Es, seed: int, update: int, records: int) -> list[int]:
    """Positions of the records that reward this update (from 1), without repetition.

    By epochs, each epoch's batches are a permutation of all records, cut into pieces; by iterations, each batch is
    drawn from all of them.
    """
    size = min(method.batch_size, records)
    if method.unit == "iteration":
        return random.Random(f"batch/{seed}/{update}").sample(range(records), size)
    epoch, number = divmod(update - 1, _per_epoch(method, records))
    permutation = random.Random(f"epoch/{seed}/{epoch}").sample(range(records), records)
    return permutation[number * size : (number + 1) * size]


def _updates_per_unit(method: Es, records: int) -> int:
    """Updates per epoch, or one per iteration."""
    return _per_epoch(method, records) if method.unit == "epoch" else 1


def _per_epoch(method: Es, records: int) -> int:
    return ceil(records / method.batch_size)
