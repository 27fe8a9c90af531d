"""Text files that people bring: their encodings, and an error where there is none to be known."""

import codecs
from pathlib import Path

from emflow.files import InputError, packed

__all__ = ["read_text"]


def read_text(path: Path) -> str:
    """The text of a file in UTF-8, or in UTF-16 where its byte-order mark says so; newlines as they are.

    Raises InputError where there is no such file, and where it is in another encoding.
    """
    try:
        data = path.read_bytes()
    except OSError as error:  # a folder, no such file, no permission
        raise InputError(f"{path}: {(error.strerror or 'not readable').lower()}") from None
    encoding = "UTF-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "UTF-8"
    try:
        return data.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = data[: error.start].decode(encoding, errors="ignore").count("\n") + 1
        raise InputError(
            f"{path}, line {line}: the byte 0x{data[error.start]:02x} is not {encoding}"
            + (packed(data) or "; save the file as UTF-8 (Excel: CSV UTF-8)")
        ) from None
