"""`es_log.jsonl`: all of an ES run in a few kilobytes per iteration. Its weights follow from it and the base model.

The first line says what the run is (base, method, data, generator); each further line is one iteration: `iteration`,
`batch` (record ids), `seeds` and `coefficients` (the update is their sum of products), `rewards` (one per member, null
where it failed), `errors` (of members, by number), `masters_sha256` (after the update).
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from emflow.files import InputError, read_jsonl, write_text

__all__ = ["EsLog", "iteration_row", "read_log"]


class EsLog:
    """The log of a run at work. Lines reach the disk whole or are dropped: what a kill left half written counts not."""

    def __init__(self, path: Path, header: dict[str, Any]) -> None:
        """Continue the log at `path` if its header is this one; start it afresh otherwise."""
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        head = json.dumps(header)
        kept, *rows = _whole_lines(path) or [""]
        if kept != head:
            rows = []
        write_text(path, "".join(line + "\n" for line in (head, *rows)))
        self.rows = [json.loads(row) for row in rows]

    def append(self, row: dict[str, Any]) -> None:
        """Add an iteration; it is on the disk when this returns."""
        with open(self.path, "a") as file:
            file.write(json.dumps(row) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.rows.append(row)


def iteration_row(
    iteration: int,
    batch: list[str],
    seeds: list[int],
    rewards: np.ndarray,
    coefficients: np.ndarray,
    errors: dict[str, str],
    digest: str,
) -> dict[str, Any]:
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


def read_log(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Header and iterations of a finished run's log. Raises InputError where there is none."""
    if not path.exists():
        raise InputError(f"{path}: no such log; name the folder of a finished run of kind es")
    header, *rows = read_jsonl(path)
    return header, rows


def _whole_lines(path: Path) -> list[str]:
    return path.read_text().split("\n")[:-1] if path.exists() else []
