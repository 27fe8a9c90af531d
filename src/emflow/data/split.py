"""Which conversations are held out: row for row the split of `datasets.Dataset.train_test_split`."""

import os
from typing import Any

from datasets import Dataset

from emflow.console import finished
from emflow.files import InputError, read_jsonl, write_jsonl

__all__ = ["split", "split_file"]


def split(records: list[Any], test_size: float, seed: int) -> tuple[list[Any], list[Any]]:
    """Return (train, validation), in the order in which `train_test_split(test_size, seed=seed)` gives its rows.

    `test_size` is a share, rounded up to whole records; 0 holds nothing out and keeps the order. Raises InputError
    where a part would be empty that should not be.
    """
    if test_size == 0:
        return list(records), []
    try:
        parts = Dataset.from_dict({"row": range(len(records))}).train_test_split(test_size, seed=seed)
        if not (len(parts["train"]) and len(parts["test"])):
            raise ValueError("a part would be empty")
    except ValueError as error:
        raise InputError(
            f"split.test_size: {test_size:g} of {len(records)} conversations cannot be held out: {error}"
        ) from None
    train, test = ([records[row] for row in parts[name]["row"]] for name in ("train", "test"))
    return train, test


def split_file(
    records: str | os.PathLike[str],
    train: str | os.PathLike[str],
    validation: str | os.PathLike[str],
    test_size: float,
    seed: int,
) -> None:
    """Split the JSONL file `records` into the files `train` and `validation`, each written atomically."""
    train_rows, validation_rows = split(read_jsonl(records), test_size, seed)
    write_jsonl(train, train_rows)
    write_jsonl(validation, validation_rows)
    finished(f"{len(train_rows):,} conversations to train on, {len(validation_rows):,} held out in {validation}")
