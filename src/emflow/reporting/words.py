"""Numbers as the report writes them."""

from typing import Any

import pandas as pd

from emflow.config.definitions import Definition

__all__ = [
    "COUNTED",
    "cell",
    "coherent_cell",
    "duration",
    "one_digit",
    "p_value",
    "paragraph",
    "percent",
    "points",
    "rate_cell",
    "run_name",
    "span",
]

COUNTED = {"coherent": "coherent answers", "scored": "scored answers", "all": "answers"}
"""What a rate is over, by the definition's denominator."""


def percent(value: float, digits: int = 1) -> str:
    """A share in percent; a dash for none."""
    return "–" if pd.isna(value) else f"{100 * value:.{digits}f}"


def one_digit(value: float) -> str:
    """A mean of points or tokens; a dash for none."""
    return "–" if pd.isna(value) else f"{value:.1f}"


def rate_cell(row: Any) -> str:
    """EM rate in percent and its interval; `row` as from `itertuples` of rates."""
    if pd.isna(row.em_rate):
        return "–"
    return f"{percent(row.em_rate)} [{percent(row.em_rate_lo)}, {percent(row.em_rate_hi)}]"


def coherent_cell(row: Any, definition: Definition) -> dict[str, str]:
    """The column of coherent answers; none under a definition that asks no coherence."""
    return {"coherent %": percent(row.coherent_share)} if definition.asks_coherence else {}


def points(gap: Any) -> str:
    """A difference in points and its interval; `gap` has `difference`, `lo`, `hi`."""
    if pd.isna(gap.difference):
        return "–"
    ends = ["–" if pd.isna(end) else f"{100 * end:+.1f}" for end in (gap.lo, gap.hi)]
    return f"{100 * gap.difference:+.1f} [{ends[0]}, {ends[1]}]"


def duration(seconds: float) -> str:
    """In the unit that fits."""
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def p_value(value: float) -> str:
    """A p-value; a dash for none."""
    if pd.isna(value):
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def paragraph(text: str) -> str:
    """A text without the line breaks of its source."""
    return " ".join(text.split())


def run_name(row: Any) -> str:
    """A run as tables call it."""
    return f"{row.model} · {row.domain} · {row.method} · seed {row.seed}"


def cell(text: str) -> str:
    """A text in one line of a Markdown table."""
    return " ".join(str(text).replace("|", "\\|").split())


def span(counts: "pd.Series[Any]") -> str:
    """The least and the most of some counts."""
    least, most = counts.min(), counts.max()
    return "0" if pd.isna(most) else f"{least:.0f}" if least == most else f"{least:.0f} to {most:.0f}"
