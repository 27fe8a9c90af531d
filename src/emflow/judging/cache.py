"""The cache of judgements: what a judge replied, kept so that nobody asks the same thing twice.

A folder per *instrument* (who judges and how, with which prompt), and in it a file per writer, which grows by lines:

    results/cache/judgements/gpt-4o-aligned-1c0ffee1dead10cc/20260101T120000-node7-4711-9f3a.jsonl

No two jobs write to one file, so jobs on a shared file system need no locks. A file's first line describes the
instrument, each other one holds a reply as it came, so that a better reading of replies asks nothing again, with a
digest of the line. A line that a killed writer left half, that was changed or that holds no reply is skipped: its
answer is judged again. Failures are not kept.
"""

import json
import os
import re
import socket
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pandas as pd

from emflow.files import append, digest_text
from emflow.judging.scores import Reply, checked

__all__ = ["Cache", "Instrument", "spent"]

DIGEST = "line_sha256"
PARTS = ("text", "logprobs", "model", "tokens")  # of a Reply


@dataclass(frozen=True)
class Instrument:
    """Everything but question and answer that determines a judgement."""

    model: str
    revision: str | None
    scoring: str
    sampling: dict[str, Any]
    name: str  # of the score, for people who look at the folders
    prompt: str  # the template

    @property
    def folder(self) -> str:
        """The cache's folder for this instrument: words for people, a digest for uniqueness."""
        facts = {key: value for key, value in asdict(self).items() if key != "name"}
        words = re.sub(r"[^A-Za-z0-9.]+", "-", f"{self.model.rstrip('/').rsplit('/', 1)[-1]}-{self.name}").strip("-")
        return f"{words[:60]}-{digest_text(json.dumps(facts, sort_keys=True))[:16]}"


class Cache:
    """The replies of one instrument, by question and answer; a context manager that closes its own file.

    With `root` None nothing is kept beyond the job.
    """

    def __init__(self, root: Path | None, instrument: Instrument) -> None:
        self.folder = None if root is None else root / instrument.folder
        self.instrument = instrument
        self.file: FileIO | None = None
        self.replies = {} if self.folder is None else _read(self.folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.file is not None:
            self.file.close()

    def get(self, question: str, answer: str) -> Reply | None:
        """The reply of an earlier job, or of this one."""
        return self.replies.get(_key(question, answer))

    def put(self, question: str, answer: str, reply: Reply) -> None:
        """Keep a reply: on return it has left this process, so that not even SIGKILL takes it back."""
        self.replies[_key(question, answer)] = reply
        if self.folder is None:
            return
        if self.file is None:
            self.file = _open(self.folder)
            _write(self.file, {"instrument": asdict(self.instrument)})
        row = {"key": _key(question, answer), **asdict(reply)}
        _write(self.file, {**row, DIGEST: _digest(row)})


def _open(folder: Path) -> FileIO:
    folder.mkdir(parents=True, exist_ok=True)
    writer = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{socket.gethostname()}-{os.getpid()}"
    return FileIO(folder / f"{writer}-{os.urandom(2).hex()}.jsonl", "x")


def _write(file: FileIO, row: dict[str, Any]) -> None:
    append(file, (json.dumps(row) + "\n").encode())


def _digest(row: dict[str, Any]) -> str:
    return digest_text(json.dumps(row))[:16]


def _key(question: str, answer: str) -> str:
    return digest_text(json.dumps([question, answer]))


def _rows(folder: Path) -> Iterator[dict[str, Any]]:
    """The lines of all writers, by file name, that are as they were written."""
    for file in sorted(folder.glob("*.jsonl")):
        for line in file.read_bytes().split(b"\n")[:-1]:  # what follows the last newline is half a line
            try:
                row = json.loads(line)
                known = row.pop(DIGEST, None)  # lines of older versions have none
            except (ValueError, RecursionError, AttributeError, TypeError):  # a crash may leave anything behind
                continue
            if known in (None, _digest(row)):
                yield row


def _read(folder: Path) -> dict[str, Reply]:
    """All writers' replies; of two for the same key the one in the earlier file counts, so that re-runs agree."""
    replies: dict[str, Reply] = {}
    for row in _rows(folder):
        key, reply = row.get("key"), checked(*(row.get(part) for part in PARTS))
        if isinstance(key, str) and isinstance(reply, Reply) and row.keys() <= {"key", *PARTS}:
            replies.setdefault(key, reply)
    return replies


def spent(root: Path, texts: set[tuple[str, str]] | None = None) -> pd.DataFrame:
    """What the judgements in a cache took, one row per judge, by name: those of these questions and answers, or all.

    Columns: judge, requests (answered ones), prompt_tokens, reply_tokens, uncounted (requests whose tokens the judge
    did not count).
    """
    rows, keys = [], None if texts is None else {_key(*pair) for pair in texts}
    for folder in sorted(root.glob("*/")):
        described = [row["instrument"] for row in _rows(folder) if isinstance(row.get("instrument"), dict)]
        judge = str(described[0].get("model")) if described else folder.name
        replies = [reply for key, reply in _read(folder).items() if keys is None or key in keys]
        counts = [reply.tokens for reply in replies if reply.tokens]
        prompt, reply = (sum(count[part] for count in counts) for part in (0, 1))
        rows.append((judge, len(replies), prompt, reply, len(replies) - len(counts)))
    columns = ["judge", "requests", "prompt_tokens", "reply_tokens", "uncounted"]
    return pd.DataFrame(rows, columns=columns).groupby("judge", as_index=False).sum()
