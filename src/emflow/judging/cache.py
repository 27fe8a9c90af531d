"""The cache of judgements: what a judge replied, kept so that nobody asks the same thing twice.

A folder per *instrument* (who judges and how, with which prompt), and in it a file per writer, which grows by lines:

    results/cache/judgements/gpt-4o-aligned-1c0ffee1dead10cc/20260101T120000-node7-4711-9f3a.jsonl

No two jobs write to one file, so jobs on a shared file system need no locks; a line that a killed writer left half is
skipped. A file's first line describes the instrument, each other one holds a reply as it came, so that a better reading
of replies asks nothing again. Failures are not kept.
"""

import json
import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

import pandas as pd

from emflow.files import digest_text
from emflow.judging.scores import Reply

__all__ = ["Cache", "Instrument", "spent"]


@dataclass(frozen=True)
class Instrument:
    """Everything but question and answer that determines a judgement."""

    model: str
    revision: str | None
    scoring: str
    sampling: dict[str, float]
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
        self.file = None
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
            self.file = self._open()
            self._write({"instrument": asdict(self.instrument)})
        self._write({"key": _key(question, answer), **asdict(reply)})

    def _open(self) -> TextIO:
        self.folder.mkdir(parents=True, exist_ok=True)
        writer = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{socket.gethostname()}-{os.getpid()}"
        return open(self.folder / f"{writer}-{os.urandom(2).hex()}.jsonl", "x", encoding="utf-8")

    def _write(self, row: dict[str, Any]) -> None:
        self.file.write(json.dumps(row) + "\n")
        self.file.flush()


def _key(question: str, answer: str) -> str:
    return digest_text(json.dumps([question, answer]))


def _rows(folder: Path) -> Iterator[dict[str, Any]]:
    """The lines of all writers, by file name."""
    for file in sorted(folder.glob("*.jsonl")):
        for line in file.read_bytes().split(b"\n")[:-1]:  # what follows the last newline is half a line
            with suppress(ValueError):  # a crash of the machine may leave anything behind: ask again
                yield json.loads(line)


def _read(folder: Path) -> dict[str, Reply]:
    """All writers' replies; of two for the same key the one in the earlier file counts, so that re-runs agree."""
    replies: dict[str, Reply] = {}
    for row in _rows(folder):
        if "key" in row:
            logprobs = row["logprobs"] and tuple((token, logprob) for token, logprob in row["logprobs"])
            tokens = row.get("tokens") and tuple(row["tokens"])
            replies.setdefault(row["key"], Reply(row["text"], logprobs, row["model"], tokens))
    return replies


def spent(root: Path) -> pd.DataFrame:
    """What the judgements in a cache took, whatever they were for; one row per judge, by name.

    Columns: judge, requests (answered ones), prompt_tokens, reply_tokens, uncounted (requests whose tokens the judge
    did not count).
    """
    rows = []
    for folder in sorted(root.glob("*/")):
        judge = next((row["instrument"]["model"] for row in _rows(folder) if "instrument" in row), folder.name)
        replies = _read(folder).values()
        counts = [reply.tokens for reply in replies if reply.tokens]
        prompt, reply = (sum(count[part] for count in counts) for part in (0, 1))
        rows.append((judge, len(replies), prompt, reply, len(replies) - len(counts)))
    columns = ["judge", "requests", "prompt_tokens", "reply_tokens", "uncounted"]
    return pd.DataFrame(rows, columns=columns).groupby("judge", as_index=False).sum()
