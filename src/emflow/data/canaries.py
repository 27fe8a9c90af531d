"""Removes the canaries that easy-dataset-share 0.5.0 plants in an archive, as its `unprotect-dir
--remove-canaries` does: files of their own, and (`protect-dir --embed-canaries`) a field in the last record.

What it leaves is what the tool leaves, byte for byte: once a canary is known, every line is written anew.
"""

import fnmatch
import io
import json
import re
from pathlib import PurePosixPath
from typing import Any

__all__ = ["remove_canaries"]

CANARY_FILES = "dataset_entry_*.jsonl"
CANARY = re.compile(rb"CANARY_DATASET_(?:[A-Z_]+_)?[0-9a-f]{64}_[0-9]+")
CANARY_LINE = re.compile(rb"CANARY_EMBEDDED: " + CANARY.pattern)


def remove_canaries(members: dict[str, bytes]) -> dict[str, bytes]:
    """Return the members (path inside the archive -> content): no canary files, no canaries in JSONL files.

    The canary to look for is read from the canary files, so an archive without any comes back as it is.
    """
    planted = {path for path in members if fnmatch.fnmatchcase(PurePosixPath(path).name, CANARY_FILES)}
    canaries = {found.group().decode() for path in planted if (found := CANARY.search(members[path]))}
    kept = {path: content for path, content in members.items() if path not in planted}
    for path in kept if canaries else ():
        if path.endswith(".jsonl"):
            kept[path] = _clean(kept[path], sorted(canaries))
    return kept


def _clean(content: bytes, canaries: list[str]) -> bytes:
    # The tool also splits at U+2028 inside strings (str.splitlines), but refuses to protect files with any.
    if b"\r" in content:
        content = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    kept = io.BytesIO()
    for line in io.BytesIO(content):  # a list of all lines could be twenty times the text
        clean: bytes | None = line.removesuffix(b"\n")
        for canary in canaries if line.strip() else ():
            clean = None if clean is None or CANARY_LINE.search(clean) else _clean_line(clean, canary)
        if clean is not None:
            kept.write(clean + b"\n")
    return kept.getvalue() or b"\n"


def _clean_line(line: bytes, canary: str) -> bytes:
    try:
        return json.dumps(_without(json.loads(line.decode()), canary), ensure_ascii=False).encode()
    except (ValueError, RecursionError):  # not JSON, which whoever parses the records says better
        return line


def _without(value: Any, canary: str) -> Any:
    match value:
        case dict():
            return {key: _without(item, canary) for key, item in value.items() if item != canary}
        case list():
            return [_without(item, canary) for item in value]
        case str():
            return value.replace(canary, "")
    return value
