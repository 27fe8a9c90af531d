"""The index of a run's checkpoints: `checkpoints.json`."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from emflow.files import write_text

__all__ = ["Checkpoint", "read_index", "write_index"]


@dataclass(frozen=True)
class Checkpoint:
    """One saved state of a run; `path` is relative to the index."""

    label: str
    step: int
    epoch: float
    path: str
    sha256: str


def write_index(path: Path, checkpoints: list[Checkpoint]) -> None:
    """Write `checkpoints.json` atomically."""
    write_text(path, json.dumps([asdict(checkpoint) for checkpoint in checkpoints], indent=1) + "\n")


def read_index(path: Path) -> list[Checkpoint]:
    """Read `checkpoints.json`."""
    return [Checkpoint(**entry) for entry in json.loads(path.read_text())]
