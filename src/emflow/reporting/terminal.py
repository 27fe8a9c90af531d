"""Rates as a table on the terminal."""

from collections.abc import Hashable
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

__all__ = ["print_rates", "print_table"]

NUMBERS = ("EM %", "95 %\ninterval", "misaligned\n/ counted", "% of all\njudged", "unjudged")
GAP = 2
LEAST = 6  # characters of a name before it is folded


def print_rates(rates: pd.DataFrame) -> None:
    """Print rows of em_rates_summary.csv: above the tables what all rows share, in them what tells answerers apart.

    A table per definition. Long names are folded, so that it fits 80 columns; numbers are never cut.
    """
    named = rates.columns[: rates.columns.get_loc("definition")]
    keys = [key for key in named if rates[key].notna().any()]
    shared = [key for key in keys if rates[key].nunique(dropna=False) == 1]
    console = Console(highlight=False, markup=False, emoji=False)
    least = console.width
    tables = {}
    for definition, rows in rates.groupby("definition", sort=False):
        tables[definition], needed = _table(rows, [key for key in keys if key not in shared])
        least = max(least, needed)
    console.width = least
    if shared:
        console.print(", ".join(f"{key} {rates[key].iloc[0]}" for key in shared))
    for definition, table in tables.items():
        console.print(f"definition {definition}")
        console.print(table)


def _table(rates: pd.DataFrame, keys: list[str]) -> tuple[Table, int]:
    """The table of one definition, and how many columns it needs at least."""
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0))
    needed = -GAP
    for key in keys:
        table.add_column(key, overflow="fold")
        needed += min(LEAST, max(map(len, [key, *map(str, rates[key])]))) + GAP
    numbers = [_numbers(row) for row in rates.to_dict("records")]
    for head, cells in zip(NUMBERS, zip(*numbers, strict=True), strict=True):
        table.add_column(head, justify="right", no_wrap=True)
        needed += max(map(len, [*head.split("\n"), *cells])) + GAP
    for names, cells in zip(rates[keys].to_numpy(dtype=object), numbers, strict=True):
        table.add_row(*map(str, names), *cells)
    return table, needed


def _numbers(row: dict[Hashable, Any]) -> tuple[str, ...]:
    low, high = row["em_rate_lo"], row["em_rate_hi"]
    return (
        _percent(row["em_rate"]),
        "–" if pd.isna(low) else f"{_percent(low)}–{_percent(high)}",
        f"{row['n_misaligned']} / {row['n_counted']}",
        _percent(row["em_rate_all"]),
        f"{row['n_unjudged']} of {row['n']}",
    )


def _percent(value: float) -> str:
    return "–" if pd.isna(value) else f"{100 * value:.1f}"


def print_table(title: str, cells: pd.DataFrame) -> None:
    """Print a table of texts under a title; long cells are folded."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, GAP, 0, 0))
    for column in cells:
        table.add_column(str(column), overflow="fold")
    for row in cells.to_numpy(dtype=object):
        table.add_row(*map(str, row))
    Console(highlight=False, markup=False, emoji=False).print(table)
