"""What a section of the report is made of: words, tables and figures, in the order in which they are read."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pandas as pd
from matplotlib.figure import Figure

__all__ = ["Picture", "ReportSection", "ShownTable"]


@dataclass(frozen=True)
class ShownTable:
    """A table that is shown; `data` is what its CSV holds, in full precision."""

    name: str
    data: pd.DataFrame
    shown: pd.DataFrame
    """The same rows as texts."""
    caption: str = ""


@dataclass(frozen=True)
class Picture:
    """A figure that is shown; `data` is what was drawn, and what its CSV holds."""

    name: str
    data: pd.DataFrame
    draw: Callable[[], Figure]
    caption: str


@dataclass(frozen=True)
class ReportSection:
    """A part of the report under a title of its own."""

    title: str
    parts: list[str | ShownTable | Picture] = field(default_factory=list)
