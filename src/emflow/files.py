"""Reading and writing the files between the rules: whole or not at all, and errors that name file and line."""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = [
    "InputError",
    "alone",
    "digest",
    "digest_text",
    "parse_jsonl",
    "read_jsonl",
    "replacing",
    "stamp",
    "write_jsonl",
    "write_text",
]


class InputError(Exception):
    """Something the user gave is wrong. The message names the key or file and the mend; no traceback is needed."""


@contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary sibling of `path` (file or folder to be made); rename it onto `path` on success.

    On any error the temporary is removed and whatever stood at `path` is untouched.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    _remove(temporary)
    try:
        yield temporary
        if temporary.is_dir() and path.is_dir():
            shutil.rmtree(path)  # rename replaces files and empty folders only
        os.replace(temporary, path)
    finally:
        _remove(temporary)


@contextmanager
def alone(path: str | os.PathLike) -> Iterator[None]:
    """Hold the lock file `path` meanwhile; wait for it while another process does, on this machine or another.

    The lock ends with its process, however that ends.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    while True:
        with open(path, "w") as file:
            fcntl.lockf(file, fcntl.LOCK_EX)  # a record lock: NFS and parallel file systems keep it across machines
            if _is_same(path, file.fileno()):  # else its holder removed it while this process waited
                try:
                    yield
                finally:
                    os.unlink(path)
                return


def _is_same(path: str | os.PathLike, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write UTF-8 text atomically, with newlines as given."""
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8", newline="\n") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def write_jsonl(path: str | os.PathLike, rows: Iterable[dict[str, Any]]) -> None:
    """Write one JSON object per line, atomically."""
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def read_jsonl(path: str | os.PathLike) -> list[dict[str, Any]]:
    """Read one JSON object per line; blank lines are skipped.

    Raises InputError naming file and line where a line is not a JSON object.
    """
    return [row for _, row in parse_jsonl(Path(path).read_bytes(), path)]


def parse_jsonl(data: bytes, source: str | os.PathLike) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number from 1, JSON object) for each line that is not blank; errors name `source` and line."""
    for number, line in enumerate(data.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line.decode("utf-8-sig"))
        except json.JSONDecodeError as error:
            raise InputError(f"{source}, line {number}: not valid JSON ({error.msg}, column {error.colno})") from None
        except (ValueError, RecursionError) as error:  # not UTF-8, too long a number, nested too deeply
            raise InputError(f"{source}, line {number}: not valid JSON ({error})") from None
        if not isinstance(row, dict):
            raise InputError(f"{source}, line {number}: expected a JSON object, found {type(row).__name__}")
        yield number, row


def digest_text(text: str) -> str:
    """sha256 of UTF-8 text, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def digest(path: str | os.PathLike) -> str:
    """sha256 of a file, or of a folder's relative names and contents in sorted order, in hex."""
    path = Path(path)
    if not path.is_dir():
        with open(path, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    total = hashlib.sha256()
    for file in sorted(p for p in path.rglob("*") if p.is_file()):
        total.update(f"{file.relative_to(path).as_posix()}\0{digest(file)}\0".encode())
    return total.hexdigest()


def stamp(folder: Path) -> list[Any]:
    """Name, size and ends of each file of a folder: quicker than `digest` by far, and training leaves no end as it was.

    A folder that is moved, copied or touched keeps its stamp. A missing one has none: [].
    """
    return [
        [f.relative_to(folder).as_posix(), f.stat().st_size, _ends(f)] for f in sorted(folder.rglob("*")) if f.is_file()
    ]


def _ends(path: Path, size: int = 2**20) -> str:
    """sha256 of a file's first and last megabyte."""
    with open(path, "rb") as file:
        total = hashlib.sha256(file.read(size))
        file.seek(max(0, path.stat().st_size - size))
        total.update(file.read(size))
    return total.hexdigest()
