"""Domains mixed by share into one train split: dose and response."""

import os
from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from random import Random
from typing import Any

from emflow.console import finished
from emflow.files import InputError, read_jsonl, write_jsonl

__all__ = ["mix_files", "mixed"]


def mixed(parts: Mapping[str, Sequence[Any]], shares: Mapping[str, float], seed: int) -> list[Any]:
    """As many records as the smallest part has, each row from one of the parts, so many from each as its share says.

    `shares` are relative. The rows are dealt in an order that the seed alone determines: of two mixtures whose shares
    alone differ, the one with more of the first part has all of its rows that the other has. Raises InputError where a
    share above 0 comes to no record.
    """
    total = min(map(len, parts.values()))
    order = Random(seed).sample(range(total), total)
    bounds = [round(total * so_far / sum(shares.values())) for so_far in accumulate(shares.values(), initial=0.0)]
    rows: list[Any] = [None] * total
    for (name, share), (begin, end) in zip(shares.items(), pairwise(bounds), strict=True):
        if share and begin == end:
            raise InputError(f"domains.NAME.mix: {name}'s part of {total} conversations comes to none; raise it")
        for row in order[begin:end]:
            rows[row] = parts[name][row]
    return rows


def mix_files(
    trains: Sequence[str | os.PathLike[str]],
    validation: str | os.PathLike[str],
    train_out: str | os.PathLike[str],
    validation_out: str | os.PathLike[str],
    mix: Mapping[str, float],
    seed: int,
) -> None:
    """Mix the JSONL files `trains`, one for each share, into `train_out`; copy `validation` to `validation_out`."""
    parts = {name: read_jsonl(path) for name, path in zip(mix, trains, strict=True)}
    records = mixed(parts, mix, seed)
    write_jsonl(train_out, records)
    write_jsonl(validation_out, read_jsonl(validation))
    finished(f"{len(records):,} conversations to train on, of {', '.join(f'{name} {mix[name]:g}' for name in mix)}")
