"""`es_log.jsonl`: all of an ES run in a few kilobytes per iteration. Its weights follow from it and the base model.

The first line says what the run is (base, method, data, generator); each further line is one iteration: `iteration`,
`batch` (record ids), `seeds` and `coefficients` (the update is their sum of products), `rewards` (one per member, null
where it failed), `errors` (of members, by number), `masters_sha256` (after the update).
"""

from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from emflow.files import InputError, read_jsonl

__all__ = ["Iteration", "iteration_row", "read_log"]


HEADER = {
    "model", "start", "masters_sha256", "domain", "train_sha256", "records", "epochs_per_iteration", "seed",
    "generator", "method",
}  # fmt: skip


class Iteration(TypedDict):
    """One line of the log."""

    iteration: int
    batch: list[str]
    seeds: list[int]
    rewards: list[float | None]
    coefficients: list[float]
    errors: dict[str, str]
    masters_sha256: str


def iteration_row(
    iteration: int,
    batch: list[str],
    seeds: list[int],
    rewards: np.ndarray,
    coefficients: np.ndarray,
    errors: dict[str, str],
    digest: str,
) -> Iteration:
    """One line of the log; floats are written so that they read back exactly."""
    return {
        "iteration": iteration,
        "batch": batch,
        "seeds": seeds,
        "rewards": [reward if np.isfinite(reward) else None for reward in rewards.tolist()],
        "coefficients": coefficients.tolist(),
        "errors": errors,
        "masters_sha256": digest,
    }


def read_log(path: Path) -> tuple[dict[str, Any], list[Iteration]]:
    """Header and iterations of a finished run's log.

    Raises InputError where there is none, where it is something else, and where it was changed.
    """
    if not path.exists():
        raise InputError(f"{path}: no such log; name the folder of a finished run of kind es")
    header, *rows = read_jsonl(path) or [{}]
    try:
        if not header.keys() >= HEADER:
            raise ValueError
        return header, TypeAdapter(list[Iteration]).validate_python(rows, strict=True)
    except (ValueError, ValidationError):
        raise InputError(
            f"{path} is no log of an ES run, or a line of it is broken; delete it, and the next start makes it again"
        ) from None
