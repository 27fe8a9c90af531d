"""How alike the directions of runs are, beside what the texts alone would make of them."""

from functools import partial

import pandas as pd
from matplotlib.figure import Figure

from emflow.reporting.design import Design
from emflow.reporting.numbers import Numbers
from emflow.reporting.section import Picture, ReportSection, ShownTable
from emflow.reporting.style import COLOURS, legend_below, panels
from emflow.reporting.words import paragraph

__all__ = ["directions"]

COSINES = {
    "cosine": "of the two directions",
    "cosine_halves": "from different questions",
    "reliability": "reliability",
    "cosine_base_reading": "the base reading both texts",
}
LINES = ("-", "--", ":", "-.")
PAIR = ["model", "domain", "method", "seed", "other_domain", "other_method", "other_seed"]


def directions(numbers: Numbers, design: Design) -> ReportSection | None:
    """A figure by site, and a table of pairs of runs."""
    rows = numbers.directions
    if rows.empty:
        return None
    text = paragraph("""
        Cosines between the directions of two runs of one model. *From different questions*: one direction from each
        half of the questions, so that they share none; *reliability* is what that would be if both were one direction,
        told as badly as each is. *The base reading both texts*: what the base model sees in the two runs' answers;
        where it is as high, the runs' directions are alike since their texts are.""")
    caption = "Cosines by site, in the order of computation: mean over pairs of runs; bands are the least to the most."
    of = "Over block outputs, the least to the most."
    picture = Picture("directions", rows, partial(_draw, rows), caption)
    return ReportSection("Directions", [text, picture, ShownTable("directions", rows, _shown(rows), of)])


def _shown(rows: pd.DataFrame) -> pd.DataFrame:
    blocks = rows[rows["site"].str.startswith("block")]
    return pd.DataFrame(
        {
            "model": pair[0],
            "runs": " and ".join(" · ".join(map(str, names)) for names in (pair[1:4], pair[4:7])),
            "direction": kind,
            **{title: _span(part[column]) for column, title in COSINES.items()},
        }
        for (*pair, kind), part in blocks.groupby([*PAIR, "direction"], sort=False)
    )


def _span(values: "pd.Series[float]") -> str:
    return "–" if values.isna().all() else f"{values.min():.2f} to {values.max():.2f}"


def _draw(rows: pd.DataFrame) -> Figure:
    """A row per model, a column per kind of direction."""
    models, kinds = rows["model"].unique(), rows["direction"].unique()
    figure, grid = panels(len(models), len(kinds), (5.0, 3.2), sharey=True)
    for model, line in zip(models, grid, strict=True):
        for kind, axes in zip(kinds, line, strict=True):
            panel = rows[(rows["model"] == model) & (rows["direction"] == kind)]
            sites = _in_order(panel["site"].unique())
            for (column, title), style, colour in zip(COSINES.items(), LINES, COLOURS, strict=False):
                of_site = panel.groupby("site")[column]
                mean, least, most = (found.reindex(sites) for found in (of_site.mean(), of_site.min(), of_site.max()))
                axes.plot(range(len(sites)), mean, style, color=colour, label=title)
                axes.fill_between(range(len(sites)), least, most, color=colour, alpha=0.12, lw=0)
            step = -(-len(sites) // 12)
            axes.set_xticks(range(0, len(sites), step), sites[::step], rotation=60, ha="right", fontsize="x-small")
            axes.set_ylim(-0.55, 1.05)
            axes.set_title(f"{model}: {kind}")
        line[0].set_ylabel("cosine")
    legend_below(figure, *grid.flat)
    return figure


def _in_order(sites: list[str]) -> list[str]:
    """Embedding, then attention, MLP and output of each layer."""

    def key(site: str) -> tuple[int, str]:
        part, _, layer = site.partition(".")
        return int(layer or -1), {"mlp": "b", "block": "c"}.get(part, "a")

    return sorted(sites, key=key)
