"""Reading and writing the files between the rules: whole or not at all, and errors that name file and line."""

import errno
import fcntl
import hashlib
import io
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = [
    "InputError",
    "append",
    "clear_leftovers",
    "digest",
    "digest_text",
    "exclusive_lock",
    "is_full_disk",
    "packed",
    "parse_jsonl",
    "read_jsonl",
    "read_sealed",
    "remove",
    "replacing",
    "stamp",
    "write_jsonl",
    "write_sealed",
    "write_text",
]


LEFTOVER = re.compile(r"\..+\.(\d+)\.tmp")
ARRAY = "; this is a JSON array; write each of its objects on a line of its own"
PACKED = {  # first bytes -> the mend
    b"\x1f\x8b": "; this is compressed by gzip; unpack it",
    b"PK\x03\x04": "; this is a ZIP archive; unpack it",
}


class InputError(Exception):
    """Something the user gave is wrong. The message names the key or file and the mend; no traceback is needed."""


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary sibling of `path` (file or folder to be made); rename it onto `path` on success.

    On any error the temporary is removed and whatever stood at `path` is untouched; what a killed process left is
    cleared by the next one. Raises InputError where the disk is full.
    """
    with _held(Path(path)), _renamed(Path(path)) as temporary:
        yield temporary


@contextmanager
def _held(path: Path) -> Iterator[None]:
    """Write at `path` while nobody else does."""
    with _naming_a_full_disk(path), exclusive_lock(path.with_name(f".{path.name}.lock")):
        yield


@contextmanager
def _renamed(path: Path) -> Iterator[Path]:
    temporary = path.with_name(f".{path.name}.tmp")
    remove(temporary)
    try:
        yield temporary
        _seal(path).unlink(missing_ok=True)  # of what stood here
        if path.is_symlink() or (temporary.is_dir() and path.is_dir()):
            remove(path)  # rename replaces files and empty folders only
        os.replace(temporary, path)
    finally:
        remove(temporary)


@contextmanager
def _naming_a_full_disk(path: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if isinstance(error, InputError) or not is_full_disk(error):
            raise
        raise InputError(f"{path}: the disk is full; make room and start again, which goes on from here") from None


def is_full_disk(error: Exception) -> bool:
    """Whether an error says so, in whichever words: writers of weights have errors of their own."""
    return any(os.strerror(number) in str(error) for number in (errno.ENOSPC, errno.EDQUOT))


def append(file: io.FileIO, data: bytes, sync: bool = False) -> None:
    """Add `data` to an unbuffered file opened for appending: all of it or, on any error, none.

    With `sync` it is on the disk on return, else out of this process. Raises InputError where the disk is full.
    """
    with _naming_a_full_disk(Path(os.fsdecode(file.name))):
        before = file.seek(0, os.SEEK_END)
        try:
            left = memoryview(data)
            while left:
                left = left[file.write(left) :]
            if sync:
                os.fsync(file.fileno())
        except BaseException:
            file.truncate(before)
            raise


@contextmanager
def exclusive_lock(path: str | os.PathLike[str]) -> Iterator[None]:
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


def _is_same(path: str | os.PathLike[str], descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def remove(path: Path) -> None:
    """Delete a file, a folder or a link (and not what it leads to), where there is one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def clear_leftovers(folder: Path) -> list[Path]:
    """Remove the temporaries that killed processes of earlier versions left in a folder, and below; returns them.

    These carried the number of their process; what a living one works on stays. Today's have one name per file, and
    its next writer clears them.
    """
    left = [
        Path(place, name)
        for place, folders, files in os.walk(folder)
        for name in (*folders, *files)
        if (named := LEFTOVER.fullmatch(name)) and not Path("/proc", named[1]).exists()
    ]
    for path in left:
        remove(path)
    return left


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write UTF-8 text atomically, with newlines as given. Raises InputError where the disk is full."""
    with replacing(path) as temporary:
        _write(temporary, [text.encode()])


def write_jsonl(path: str | os.PathLike[str], rows: Iterable[Mapping[str, object]]) -> int:
    """Write one JSON object per line, atomically, and the file's seal; returns how many.

    Raises InputError where the disk is full.
    """
    return _write_sealed(Path(path), (json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows))


def write_sealed(path: str | os.PathLike[str], text: str) -> None:
    """As `write_text`, with a seal beside the file: `read_sealed` refuses it once it was changed."""
    _write_sealed(Path(path), io.BytesIO(text.encode()))


def _write_sealed(path: Path, lines: Iterable[bytes]) -> int:
    """Write a file and its seal; returns the number of lines."""
    count, total = 0, hashlib.sha256()

    def counted() -> Iterator[bytes]:
        nonlocal count
        for line in lines:
            count += 1
            total.update(line)
            yield line

    with _held(path):
        with _renamed(path) as temporary:
            _write(temporary, counted())
        with _renamed(_seal(path)) as temporary:
            _write(temporary, [json.dumps({"rows": count, "sha256": total.hexdigest()}).encode() + b"\n"])
    return count


def _write(path: Path, parts: Iterable[bytes]) -> None:
    with open(path, "wb") as file:
        file.writelines(parts)
        file.flush()
        os.fsync(file.fileno())


def read_jsonl(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Read one JSON object per line; blank lines are skipped.

    Raises InputError naming file and line where a line is not a JSON object, and where a file with a seal was changed.
    """
    return [row for _, row in parse_jsonl(read_sealed(path), path)]


def read_sealed(path: str | os.PathLike[str]) -> bytes:
    """A file's bytes. Raises InputError where it has a seal and was changed after it was made."""
    data = Path(path).read_bytes()
    _check_seal(Path(path), data)
    return data


def _seal(path: Path) -> Path:
    """Where a file's maker writes down how many rows it has, and their digest; a file made by hand has none."""
    return path.with_name(f".{path.name}.seal")


def _check_seal(path: Path, data: bytes) -> None:
    seal = _seal(path)
    if not seal.exists():
        return
    try:
        rows, sha256 = (json.loads(seal.read_bytes())[key] for key in ("rows", "sha256"))
    except (ValueError, KeyError, TypeError, RecursionError):
        rows, sha256 = "?", ""
    if hashlib.sha256(data).hexdigest() != sha256:
        lines = data.count(b"\n")
        raise InputError(
            f"{path} was cut or edited: it has {lines} rows of {rows}, and another digest than {seal.name} "
            "beside it says. Delete it: it is made again where it is needed; if the change is meant, delete its seal"
        )


def parse_jsonl(data: bytes, source: str | os.PathLike[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number from 1, JSON object) for each line that is not blank; errors name `source` and line."""
    mend = packed(data) or (ARRAY if data[:99].lstrip().startswith(b"[") else "")
    for number, line in enumerate(io.BytesIO(data), start=1):  # a list of all lines could be twenty times the text
        if not line.strip():
            continue
        try:
            row = json.loads(line.decode("utf-8-sig"))
        except json.JSONDecodeError as error:
            where = f"{error.msg}, column {error.colno}"
            raise InputError(f"{source}, line {number}: not valid JSON ({where}){mend}") from None
        except UnicodeDecodeError as error:
            byte = error.object[error.start]
            raise InputError(
                f"{source}, line {number}: the byte 0x{byte:02x} is not UTF-8"
                + (packed(data) or "; save the file as UTF-8")
            ) from None
        except (ValueError, RecursionError) as error:  # too long a number, nested too deeply
            raise InputError(f"{source}, line {number}: not valid JSON ({error})") from None
        if not isinstance(row, dict):
            found = f"expected a JSON object, found {type(row).__name__}"
            raise InputError(f"{source}, line {number}: {found}{mend}")
        if b"\\ud" in line.lower() and not _is_text(row):
            raise InputError(f"{source}, line {number}: an escape \\ud800..\\udfff without its other half; remove it")
        yield number, row


def packed(data: bytes) -> str:
    """How a file that should be text is packed, and the mend, to end an error; nothing where it is not."""
    return next((mend for start, mend in PACKED.items() if data.startswith(start)), "")


def _is_text(row: dict[str, Any]) -> bool:
    """Whether UTF-8 can hold all texts of a row: half a surrogate pair is no character."""
    try:
        json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def digest_text(text: str) -> str:
    """sha256 of UTF-8 text, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def digest(path: str | os.PathLike[str]) -> str:
    """sha256 of a file, or of a folder's relative names and contents in sorted order, in hex.

    Hidden files in a folder are others' notes (of a workflow engine, a hub) and no part of it.
    """
    path = Path(path)
    if not path.is_dir():
        with open(path, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    total = hashlib.sha256()
    for name, file in _shown_files(path):
        total.update(f"{name}\0{digest(file)}\0".encode())
    return total.hexdigest()


def stamp(folder: Path) -> list[Any]:
    """Name, size and ends of each file of a folder: quicker than `digest` by far, and training leaves no end as it was.

    A folder that is moved, copied or touched keeps its stamp. Hidden files are no part of it, as in `digest`. A missing
    folder has none: [].
    """
    return [[name, file.stat().st_size, _ends(file)] for name, file in _shown_files(folder)]


def _shown_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """A folder's files and their relative names, sorted; without hidden ones, and what lies in hidden folders."""
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = file.relative_to(folder)
        if not any(part.startswith(".") for part in name.parts):
            yield name.as_posix(), file


def _ends(path: Path, size: int = 2**20) -> str:
    """sha256 of a file's first and last megabyte."""
    with open(path, "rb") as file:
        total = hashlib.sha256(file.read(size))
        file.seek(max(0, path.stat().st_size - size))
        total.update(file.read(size))
    return total.hexdigest()
