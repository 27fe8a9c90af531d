"""Which conversations are held out: row for row the split of `datasets.Dataset.train_test_split`."""

import math
import os
from typing import Any

import numpy as np

from emflow.console import made
from emflow.files import InputError, read_jsonl, write_jsonl

__all__ = ["split", "split_file"]


def split(records: list[Any], test_size: float, seed: int) -> tuple[list[Any], list[Any]]:
    """Return (train, validation): the rows of `train_test_split(test_size, seed=seed)` of datasets, in its order.

    test_size is a share in (0, 1), rounded up to whole records. Drawn here from the same generator, because
    importing datasets takes longer than the whole stage. Raises InputError where either part would be empty.
    """
    count = len(records)
    held_out = math.ceil(test_size * count)
    if not 0 < held_out < count:
        purpose = "train on" if held_out else "validate with"
        raise InputError(
            f"split.test_size: {test_size:g} of {count} conversations leaves none to {purpose}; choose it "
            "strictly between 0 and 1, or take a domain with more conversations"
        )
    order = np.random.default_rng(seed).permutation(count)
    return [records[row] for row in order[held_out:]], [records[row] for row in order[:held_out]]


def split_file(
    records: str | os.PathLike,
    train: str | os.PathLike,
    validation: str | os.PathLike,
    test_size: float,
    seed: int,
) -> None:
    """Split the JSONL file `records` into the files `train` and `validation`, each written atomically."""
    train_rows, validation_rows = split(read_jsonl(records), test_size, seed)
    write_jsonl(train, train_rows)
    write_jsonl(validation, validation_rows)
    made(f"{len(train_rows):,} conversations to train on, {len(validation_rows):,} held out in {validation}")
