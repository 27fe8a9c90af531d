"""Rates as a table on the terminal."""

import pandas as pd
from rich.console import Console
from rich.table import Table

from emflow.analysis.rates import KEYS

__all__ = ["print_rates"]


def print_rates(rates: pd.DataFrame) -> None:
    """Print rows of em_rates_summary.csv: above the table what all rows share, left in it what tells them apart."""
    keys = [key for key in KEYS if rates[key].notna().any()]
    shared = [key for key in keys if rates[key].nunique(dropna=False) == 1]
    table = Table(box=None)
    for key in (key for key in keys if key not in shared):
        table.add_column(key, no_wrap=True)
    for column in ("EM rate %", "95 % interval", "misaligned\n/ coherent", "% of all\njudged", "unjudged"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in rates.itertuples():
        names = [str(getattr(row, key)) for key in keys if key not in shared]
        interval = f"{_percent(row.em_rate_lo)} – {_percent(row.em_rate_hi)}"
        counts = f"{row.n_misaligned} / {row.n_coherent}", _percent(row.em_rate_all), f"{row.n_unjudged} of {row.n}"
        table.add_row(*names, _percent(row.em_rate), interval, *counts)
    console = Console()
    console.print(", ".join(f"{key} {rates[key].iloc[0]}" for key in shared), highlight=False, markup=False)
    console.print(table)


def _percent(value: float) -> str:
    return "–" if pd.isna(value) else f"{100 * value:.1f}"
