"""CSV tables that people bring."""

import csv
import io
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from emflow.files import InputError
from emflow.formats.text import read_text

__all__ = ["Table", "is_table", "read_table"]

OTHERS = {";": "semicolons", "\t": "tabs"}  # what spreadsheets write in place of commas


class Table(NamedTuple):
    """The cells of a CSV as text: rows by column."""

    columns: tuple[str, ...]
    rows: list[dict[str, str]]


def is_table(path: Path) -> bool:
    """Whether a file is a CSV, by its name."""
    return path.suffix.lower() == ".csv"


def read_table(path: Path) -> Table:
    """Read a CSV with a header; empty lines are skipped, and so is a column without name (pandas' index).

    Raises InputError that names file and line for another encoding, a broken quotation, a row of another length than
    the header, a column that stands twice, another mark than the comma between cells, an empty file.
    """
    csv.field_size_limit(sys.maxsize)  # answers may be long
    reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    columns: list[str] = []
    rows = []
    try:
        for cells in filter(None, reader):
            if not columns:
                columns = cells
            elif len(cells) == len(columns):
                rows.append({column: cell for column, cell in zip(columns, cells, strict=True) if column})
            else:
                cause = f"a row of {len(cells)} cells under a header of {len(columns)}"
                raise InputError(f"{path}, line {reader.line_num}: {cause}; quote cells that hold commas or newlines")
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: no valid CSV ({error})") from None
    if not columns:
        raise InputError(f"{path}: empty; a CSV begins with the names of its columns")
    if len(columns) == 1 and (other := next((name for mark, name in OTHERS.items() if mark in columns[0]), None)):
        raise InputError(f"{path}: separated by {other}; save it with commas")
    named = list(filter(None, columns))
    if twice := [column for column, count in Counter(named).items() if count > 1]:
        raise InputError(f"{path}: the column {twice[0]} stands twice; rename one")
    return Table(tuple(named), rows)
