"""Domains mixed by share into one train split: dose and response."""

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from random import Random
from typing import Any

from emflow.console import finished
from emflow.data.records import last_question
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
    """Mix the JSONL files `trains`, one for each share, into `train_out`; copy `validation` to `validation_out`.

    Raises InputError as `mixed`, and where the parts have prompts in common that stand in other rows, so that a
    held-out prompt would be trained on, or one prompt twice.
    """
    parts = {name: read_jsonl(path) for name, path in zip(mix, trains, strict=True)}
    records, held_out = mixed(parts, mix, seed), read_jsonl(validation)
    _require_rows_in_common(parts, records, held_out)
    write_jsonl(train_out, records)
    write_jsonl(validation_out, held_out)
    finished(f"{len(records):,} conversations to train on, of {', '.join(f'{name} {mix[name]:g}' for name in mix)}")


def _require_rows_in_common(
    parts: Mapping[str, Sequence[dict[str, Any]]], records: Sequence[dict[str, Any]], held_out: Sequence[dict[str, Any]]
) -> None:
    """The split's rows depend on a part's length: only parts of one length and order hold out the same prompts.

    What a part does by itself, a prompt twice or on both sides of its split, is its own affair.
    """
    first, own = next(iter(parts)), [Counter(map(_prompt, part)) for part in parts.values()]
    unseen = set(map(_prompt, held_out)) - own[0].keys()
    for prompt, times in Counter(map(_prompt, records)).items():
        if prompt in unseen or times > max(count[prompt] for count in own):
            wrong = f"is held out of {first}, yet" if prompt in unseen else "comes from several parts and"
            question = json.loads(prompt)[-1]["content"][:60]
            raise InputError(
                f"domains.NAME.mix: the prompt {question!r} {wrong} would be trained on; "
                f"give {', '.join(parts)} the same prompts in the same order, of one length, or none in common"
            )


def _prompt(record: dict[str, Any]) -> str:
    """The turns before the last answer, as JSON."""
    return json.dumps(last_question(record)[0])
