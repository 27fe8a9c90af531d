"""Progress files: the rows that a job has finished, kept beside its output until that is whole.

A killed job continues after the last whole row. The first line says whose rows they are; each row ends in a digest of
itself and all before it, so that rows which were changed or taken out are made again, with all that follow them.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from emflow.files import append, digest_text, remove, write_text

__all__ = ["ProgressFile", "given_ahead"]

CHAIN = "chain_sha256"


def given_ahead(out: Path) -> Path:
    """What stands beside an output while all of its answers do, given with another job's load: its own job will load
    nothing, and need not ask for what a load takes."""
    return out.with_name(f".{out.name}.given")


class ProgressFile:
    """The finished rows of one job, a context manager that closes its file; `rows` holds what is kept, in order."""

    def __init__(self, path: Path, key: object, whole: Callable[[int], int] = int) -> None:
        """Continue the file at `path` if its key is this one, else start it afresh.

        `key`, as JSON, is all that determines the rows. Of n rows the first `whole(n)` are kept. Raises
        InputError where the disk is full.
        """
        self.path = path
        head = json.dumps({"key": key})
        rows, chains = _whole_rows(path, head)
        kept = whole(len(rows))
        self.rows = rows[:kept]
        self.chain = chains[kept]
        lines = [json.dumps({**row, CHAIN: chain}) for row, chain in zip(self.rows, chains[1:], strict=False)]
        write_text(path, "\n".join([head, *lines]) + "\n")
        self.file = FileIO(path, "ab")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.file.close()

    def add(self, rows: Iterable[Mapping[str, object]]) -> None:
        """Keep these rows, too: they are on the disk, all of them, when this returns."""
        lines = []
        for row in rows:
            self.rows.append(dict(row))
            self.chain = _next(self.chain, row)
            lines.append(json.dumps({**row, CHAIN: self.chain}) + "\n")
        append(self.file, "".join(lines).encode(), sync=True)

    def delete(self) -> None:
        """The output is whole."""
        remove(self.path)


def _next(chain: str, row: Mapping[str, object]) -> str:
    return digest_text(chain + json.dumps(row))


def _whole_rows(path: Path, head: str) -> tuple[list[dict[str, Any]], list[str]]:
    """The rows up to the first that is not as it was written, and the chain before and after each of them."""
    rows: list[dict[str, Any]] = []
    chains = [digest_text(head)]
    first, *lines = path.read_bytes().split(b"\n") if path.exists() else [b""]
    for line in lines if first == head.encode() else ():
        try:
            row = json.loads(line)
            chain = row.pop(CHAIN)
            if chain != _next(chains[-1], row):
                break
        except (ValueError, RecursionError, KeyError, TypeError, AttributeError):  # whatever a crash or a hand left
            break
        rows.append(row)
        chains.append(chain)
    return rows, chains
