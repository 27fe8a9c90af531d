"""One style for all figures, and one look per (domain, method): legible in grey and for colour-blind readers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import TightLayoutEngine
from matplotlib.ticker import MultipleLocator

from emflow.files import write_text
from emflow.reporting.design import Design

__all__ = [
    "BARS",
    "COLOURS",
    "ENDS",
    "LINES",
    "Style",
    "legend_below",
    "lines_of",
    "panels",
    "percent_axis",
    "save",
    "short_names",
    "words",
]

# Okabe & Ito's palette, which colour-blind readers can tell apart.
COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "*")
MANY, FEW = 12, 6  # lines in a panel: above the one they are means, above the other intervals would hide each other
ENDS = ("em_rate_lo", "em_rate_hi")
LINES = "a line per run or, where a panel would be crowded, the mean over seeds"
BARS = "intervals over questions, left out where they would hide each other"
MARGIN = 0.1  # inches
LOOK = {
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.dpi": 150,
    "grid.color": "0.9",
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "lines.markersize": 4,
    "svg.hashsalt": "emflow",  # the same figure is the same file
}


class Style:
    """Colour and marker follow the experiment (a domain and its control share them per method), dashes say control."""

    def __init__(self, design: Design, runs: pd.DataFrame) -> None:
        """`runs`: all of the study, by domain and method, so that every figure gives them the same looks."""
        self.design = design
        named = runs[["domain", "method"]].drop_duplicates().itertuples(index=False, name=None)
        pairs = list(dict.fromkeys((self._subject(domain), method) for domain, method in named))
        self.look = {
            pair: {"color": COLOURS[i % len(COLOURS)], "marker": MARKERS[i % len(MARKERS)]}
            for i, pair in enumerate(pairs)
        }

    def _subject(self, domain: str) -> str:
        return self.design.control_of.get(domain) or domain

    def of(self, domain: str, method: str) -> dict[str, Any]:
        """Line properties for matplotlib."""
        control = self.design.is_control(domain)
        look = self.look[self._subject(domain), method]
        return {**look, "linestyle": "--" if control else "-", "markerfacecolor": "white" if control else look["color"]}

    def label(self, domain: str, method: str) -> str:
        """What a legend calls the runs of this pair."""
        return f"{words(domain)}, {method}" + (" (control)" if self.design.is_control(domain) else "")


def panels(
    rows: int, columns: int, size: tuple[float, float], sharey: bool = False, sharex: bool = False
) -> tuple[Figure, Any]:
    """A figure and its grid of axes, (rows, columns), each of this size in inches; a shared scale has its numbers once
    per row, or per column."""
    figure = plt.figure(figsize=(size[0] * columns, size[1] * rows))
    shared = {"sharey": "row" if sharey else False, "sharex": "col" if sharex else False}
    return figure, figure.subplots(rows, columns, squeeze=False, **shared)


def lines_of(panel: pd.DataFrame, along: str) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Domain, method and rows of each line of a panel, by `along`: one per run or, if these were more than `MANY`, one
    per domain and method: the mean over seeds. Without intervals where these are more than `FEW` or means."""
    keys = ["domain", "method", "seed"]
    if len(panel[keys].drop_duplicates()) > MANY and panel["seed"].nunique() > 1:
        panel = panel.groupby([*keys[:2], along], sort=False).mean(numeric_only=True).reset_index().assign(seed=0)
        panel = panel.assign(**dict.fromkeys(ENDS, float("nan")))  # the mean of intervals is none
    if len(panel[keys].drop_duplicates()) > FEW:
        panel = panel.assign(**dict.fromkeys(ENDS, float("nan")))
    for (domain, method, _), line in panel.groupby(keys, sort=False):
        yield str(domain), str(method), line.sort_values(along, kind="stable")


def short_names(last: pd.DataFrame) -> list[str]:
    """What figures call the rows of last checkpoints and bases: what tells them apart, but for the seed."""
    trained = last[last["checkpoint"] != "base"]
    told = [part for part in ("model", "domain", "method") if trained[part].nunique() > 1] or ["domain"]

    def short(row: Any) -> str:
        if row.checkpoint != "base":
            return ", ".join(words(getattr(row, part)) for part in told)
        return f"{words(row.model)} (base)" if "model" in told else "base"

    return [short(row) for row in last.itertuples()]


def words(name: str) -> str:
    """A name as a reader would write it."""
    return str(name).replace("_", " ")


def percent_axis(axes: Axes) -> None:
    """0 to 100 % on the y axis."""
    axes.set_ylim(-3, 103)
    axes.yaxis.set_major_locator(MultipleLocator(20))


def legend_below(figure: Figure, *panels: Axes, ncols: int = 2) -> None:
    """One legend for all panels, each label once."""
    entries = {
        label: handle for axes in panels for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    if entries:
        figure.legend(entries.values(), entries.keys(), loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=ncols)


def save(figure: Figure, data: pd.DataFrame, path: Path) -> None:
    """Write a figure as PNG and SVG, and what it shows as CSV; `path` is without suffix. Closes the figure."""
    TightLayoutEngine().execute(figure)  # once: figure.tight_layout() would have each file laid out again
    box = figure.get_tightbbox().padded(MARGIN)  # measured once for both files
    figure.savefig(path.with_name(f"{path.name}.png"), bbox_inches=box)
    figure.savefig(path.with_name(f"{path.name}.svg"), bbox_inches=box, metadata={"Date": None})
    plt.close(figure)
    write_text(path.with_name(f"{path.name}.csv"), data.to_csv(index=False, float_format="%.6g"))
