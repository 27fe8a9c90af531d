"""Which conversations are held out: row for row the split of `datasets.Dataset.train_test_split`."""

import math
import os
from typing import Any

import numpy as np

from emflow.console import made
from emflow.files import InputError, read_jsonl, write_jsonl

__all__ = ["split", "split_file"]


def split(records: list[Any], test_size: float, seed: int) -> tuple[list[Any], list[Any]]:
    """Return (train, validation), in the order in which `train_test_split(test_size, seed=seed)` of datasets 5.2.0
    gives its rows; test_size is a share in (0, 1), rounded up to whole records.

    Done here with the same generator because importing datasets takes longer than the whole stage. Raises InputError
    where either part would be empty.
    """
    count = len(records)
    held_out = math.ceil(test_size * count)
    if not 0 < held_out < count:
        empty = "train on" if held_out else "validate with"
        raise InputError(
            f"split.test_size: {test_size:g} of {count} conversations leaves none to {empty}; choose it "
            "strictly between 0 and 1, or use a domain with more conversations"
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
    """Split the file `records` (JSONL) into the files `train` and `validation`; raises InputError as `split` does."""
    train_rows, validation_rows = split(read_jsonl(records), test_size, seed)
    write_jsonl(train, train_rows)
    write_jsonl(validation, validation_rows)
    made(f"{len(train_rows):,} conversations to train on, {len(validation_rows):,} held out in {validation}")
