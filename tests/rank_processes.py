"""The processes that work on a job as ranks."""

import contextlib
from pathlib import Path


def process_of_rank(rank: int, path: Path) -> int:
    """The process at work on this job as this rank."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words, environment = ((process / file).read_text().split("\0") for file in ("cmdline", "environ"))
            if str(path) in words and f"RANK={rank}" in environment:
                return int(process.name)
    raise AssertionError(f"no process works on {path} as rank {rank}")


def at_work(path: Path) -> list[int]:
    """All processes at work on this job."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if str(path) in (process / "cmdline").read_text().split("\0"):
                found.append(int(process.name))
    return found
