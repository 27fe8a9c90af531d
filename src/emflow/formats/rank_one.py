"""Rank-1 adapters as peft stores them, also of others: one checkpoint, or a folder of them by steps."""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from emflow.files import InputError

__all__ = ["RankOne", "read_rank_one", "read_series"]

WEIGHTS = "adapter_model.safetensors"


class RankOne(NamedTuple):
    """What one adapter adds to its matrix is scale x b a^T."""

    a: np.ndarray  # float64 (in,): what it reads
    b: np.ndarray  # float64 (out,): what it writes


def read_rank_one(checkpoint: Path) -> RankOne:
    """The adapter of a checkpoint's folder. Raises InputError where it has none, several, or one of a higher rank."""
    from safetensors.torch import load_file  # numpy's cannot read bfloat16

    file = checkpoint / WEIGHTS
    if not file.exists():
        raise InputError(f"{checkpoint} has no {WEIGHTS}: name a folder that peft's save_pretrained wrote")
    tensors = load_file(file)
    parts = [[x for name, x in tensors.items() if f".lora_{part}." in name] for part in "AB"]
    if [len(part) for part in parts] != [1, 1] or parts[0][0].shape[0] != 1 or parts[1][0].shape[1] != 1:
        raise InputError(
            f"{file} holds {len(parts[0])} adapters of rank {parts[0][0].shape[0] if parts[0] else 0}: a path is "
            "followed of one adapter of rank 1"
        )
    a, b = (part[0].double().flatten().numpy() for part in parts)
    return RankOne(a, b)


def read_series(folder: Path) -> tuple[list[int], np.ndarray, np.ndarray]:
    """Of a folder with a checkpoint per subfolder, whose name ends in its step (`checkpoint-5`, `step-5`): the steps,
    rising, and their A (n, in) and B (n, out). Raises InputError where there are none."""
    found = {
        int(number[1]): path.parent
        for path in folder.glob(f"*/{WEIGHTS}")
        if (number := re.search(r"(\d+)$", path.parent.name))
    }
    if not found:
        raise InputError(f"{folder} has no folder such as checkpoint-5 with {WEIGHTS} in it")
    steps = sorted(found)
    adapters = [read_rank_one(found[step]) for step in steps]
    return steps, np.stack([x.a for x in adapters]), np.stack([x.b for x in adapters])
