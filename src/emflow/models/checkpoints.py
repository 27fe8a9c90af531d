"""The index of a run's checkpoints, `checkpoints.json`, and whether models are as they were made.

Every byte of a model is read once per job for that, at about a gigabyte per second, before it is loaded and read again.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from emflow.files import InputError, digest, read_sealed, write_sealed

__all__ = [
    "Checkpoint",
    "checkpoint_folders",
    "is_adapter",
    "read_index",
    "unchanged_checkpoints",
    "unchanged_model",
    "unchanged_start",
    "write_index",
]


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
    write_sealed(path, json.dumps([asdict(checkpoint) for checkpoint in checkpoints], indent=1) + "\n")


def read_index(path: Path) -> list[Checkpoint]:
    """Read `checkpoints.json`. Raises InputError where it is not as `write_index` wrote it."""
    try:
        return [Checkpoint(**entry) for entry in json.loads(read_sealed(path))]
    except (ValueError, TypeError, RecursionError) as error:
        raise InputError(f"{path} is damaged ({error}): delete it, and what needs it is made again") from None


def is_adapter(checkpoint: Path) -> bool:
    """Whether a checkpoint's folder holds a peft adapter (else: full weights)."""
    return (checkpoint / "adapter_config.json").exists()


def checkpoint_folders(index: Path) -> dict[str, Path]:
    """Label -> folder of each checkpoint, as the index says. Raises InputError as `read_index`."""
    return {checkpoint.label: index.parent / checkpoint.path for checkpoint in read_index(index)}


def unchanged_checkpoints(index: Path) -> dict[str, Path]:
    """Label -> folder of each checkpoint. Raises InputError where one is not as it was made."""
    folders = checkpoint_folders(index)
    for checkpoint in read_index(index):
        _require(folders[checkpoint.label], checkpoint.sha256, index)
    return folders


def unchanged_model(folder: Path, known: Sequence[str]) -> Path:
    """`folder`, whose digest stands in the file `known`. Raises InputError where it is not as it was made.

    Of a model that the workflow did not make, no such file is known.
    """
    for file in known:
        _require(folder, Path(file).read_text().strip(), Path(file))
    return folder


def unchanged_start(folder: Path, known: Sequence[str], checkpoint: str | None) -> Path:
    """`start_folder`. Raises InputError where it is not as it was made."""
    if checkpoint is None:
        return unchanged_model(folder, known)
    return unchanged_checkpoints(Path(known[0]))[checkpoint]


def start_folder(folder: Path, known: Sequence[str], checkpoint: str | None) -> Path:
    """The folder of the model that a run starts from: of `checkpoint`, where `known` is the index of its run, else
    `folder` itself."""
    return folder if checkpoint is None else checkpoint_folders(Path(known[0]))[checkpoint]


def _require(folder: Path, sha256: str, known: Path) -> None:
    if digest(folder) != sha256:
        raise InputError(f"{folder} was changed after it was made: {known} holds another digest; {_again(known)}")


def _again(known: Path) -> str:
    return f"delete {known}, and the next `snakemake` makes both again"
