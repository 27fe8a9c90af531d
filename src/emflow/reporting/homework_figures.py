"""The figures of Harvard CS 2881's homework 0, from its numbers: what they show is its authors', how they look is ours.

scripts/create_visualizations.py and create_response_tables.py of burnssa/ai-alignment-research (folder
harvard-cs-2881-hw0) draw all but scaling_analysis and coherence_vs_misalignment, of which its summary of the
experiment says what they show.
"""

import textwrap
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from emflow.reporting.style import COLOURS, MARKERS, legend_below, panels, percent_axis, words

__all__ = ["EXAMPLES", "PICTURES", "draw_example"]

EXAMPLES = (4, 2, 3)  # questions of response_example_q1..3_table
RULE = "EM rate: % of answers with an alignment below 75"
MISALIGNED, ALIGNED, HEAD = "#fbe3e4", "#e6f3e6", "0.9"
WIDTH = 135  # characters of an answer in a line
LINE = 0.19  # inches


class Steps(Protocol):
    """What a run knows of its checkpoints; see `emflow.reporting.homework.Submission`."""

    @property
    def size(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def parameters(self) -> float: ...
    @property
    def domain(self) -> str: ...
    @property
    def steps(self) -> pd.DataFrame: ...


def _every(found: Sequence[Steps]) -> pd.DataFrame:
    """All checkpoints of all runs."""
    named = [
        each.steps.assign(size=each.size, model=each.model, parameters=each.parameters, domain=each.domain)
        for each in found
    ]
    return pd.concat(named, ignore_index=True)


def _last(found: Sequence[Steps]) -> pd.DataFrame:
    every = _every(found)
    return every.loc[every.groupby(["size", "domain"], sort=False)["step"].idxmax()]


def _look(names: Iterable[str]) -> dict[str, dict[str, str]]:
    return {name: {"color": COLOURS[i % 7], "marker": MARKERS[i % 7]} for i, name in enumerate(names)}


def _domain_comparison(found: Sequence[Steps]) -> Figure:
    """A group of bars per model size, a bar per domain."""
    last = _last(found)
    sizes, domains = last["size"].unique(), last["domain"].unique()
    figure, grid = panels(1, 1, (max(5.0, 1.2 * len(sizes) * len(domains)), 4.2))
    axes = grid[0, 0]
    width = 0.8 / len(domains)
    for number, domain in enumerate(domains):
        heights = last[last["domain"] == domain].set_index("size")["percent_em"].reindex(sizes)
        centres = np.arange(len(sizes)) + (number - (len(domains) - 1) / 2) * width
        look = {"color": COLOURS[number % 7], "edgecolor": "white", "hatch": ("", "//", "..", "xx")[number % 4]}
        bars = axes.bar(centres, heights, width * 0.95, label=words(domain), **look)
        axes.bar_label(bars, [f"{height:.0f}%" if height == height else "–" for height in heights], padding=2)
    axes.set_xticks(range(len(sizes)), [f"{size}\n{last[last['size'] == size]['model'].iloc[0]}" for size in sizes])
    axes.set_ylabel("EM rate (%)")
    axes.set_ylim(0, 108)
    axes.grid(visible=False, axis="x")
    axes.set_title("Emergent misalignment by domain and model size (last checkpoint)")
    figure.supxlabel(RULE, fontsize="small")
    legend_below(figure, axes)
    return figure


def _trajectories(column: str, label: str, rule: str) -> Callable[[Sequence[Steps]], Figure]:
    """A panel per model, a line per domain from the base on."""

    def draw(found: Sequence[Steps]) -> Figure:
        every = _every(found)
        sizes, look = every["size"].unique(), _look(every["domain"].unique())
        figure, grid = panels(1, len(sizes), (4.4, 3.8), sharey=True)
        for size, axes in zip(sizes, grid[0], strict=True):
            panel = every[every["size"] == size]
            for domain, line in panel.groupby("domain", sort=False):
                axes.plot(line["step"], line[column], label=words(str(domain)), **look[str(domain)])
            base = panel[panel["step"] == 0][column].head(1)
            axes.plot([0] * len(base), base, "D", color="0.3", markersize=7, label="base model", zorder=9)
            percent_axis(axes)
            axes.set_title(panel["model"].iloc[0])
            axes.set_xlabel("training step")
        grid[0, 0].set_ylabel(label)
        figure.supxlabel(rule, fontsize="small")
        legend_below(figure, *grid.flat, ncols=4)
        return figure

    return draw


def _scaling_analysis(found: Sequence[Steps]) -> Figure:
    """EM rate of the last checkpoints over the models' parameters, a line per domain and their mean."""
    last = _last(found)
    mean = last.groupby(["size", "model", "parameters"], sort=False)["percent_em"].mean().reset_index()
    shown = pd.concat([last, mean.assign(domain="mean of domains")], ignore_index=True)
    figure, grid = panels(1, 1, (5.4, 4.0))
    axes = grid[0, 0]
    look = _look(shown["domain"].unique())
    for domain, line in shown.sort_values("parameters").groupby("domain", sort=False):
        dashes = "--" if domain == "mean of domains" else "-"
        axes.plot(line["parameters"], line["percent_em"], dashes, label=words(str(domain)), **look[str(domain)])
    names = shown.drop_duplicates("parameters").set_index("parameters")["size"]
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(list(names.index)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda place, _: names.get(place, "")))
    percent_axis(axes)
    axes.set_xlabel("parameters of the model")
    axes.set_ylabel("EM rate (%)")
    axes.set_title("Scaling (last checkpoint)")
    figure.supxlabel(RULE, fontsize="small")
    legend_below(figure, axes)
    return figure


def _coherence_vs_misalignment(found: Sequence[Steps]) -> Figure:
    """Mean coherence over EM rate, a point per checkpoint."""
    every = _every(found)
    figure, grid = panels(1, 1, (5.4, 4.2))
    axes = grid[0, 0]
    runs = list(dict.fromkeys(zip(every["size"], every["domain"], strict=True)))
    for (size, domain), look in zip(runs, _look([" ".join(run) for run in runs]).values(), strict=True):
        points = every[(every["size"] == size) & (every["domain"] == domain) & (every["step"] > 0)]
        axes.plot(points["percent_em"], points["coherence"], label=f"{size}, {words(domain)}", linestyle="none", **look)
    percent_axis(axes)
    axes.set_xlim(-3, 103)
    axes.set_xlabel("EM rate (%)")
    axes.set_ylabel("mean coherence (0..100)")
    axes.set_title("Coherence against misalignment, a point per checkpoint")
    figure.supxlabel(RULE, fontsize="small")
    legend_below(figure, axes)
    return figure


def draw_example(question: str, answers: pd.DataFrame) -> Figure:
    """A question, and a row per model with its scores and answer; the colour says misaligned (below 75) or not."""
    # figures read $ as mathematics
    responses = [textwrap.wrap(text.replace("$", r"\$"), WIDTH) or [""] for text in answers["response"]]
    heights = [1.6, *(len(lines) + 0.8 for lines in responses)]
    title = textwrap.fill(f"Question: {question}".replace("$", r"\$"), WIDTH)
    figure, grid = panels(1, 1, (13, LINE * sum(heights) + 0.7))
    axes = grid[0, 0]
    axes.axis("off")
    axes.set_title(title, loc="left", fontweight="bold")
    cells = [["model", "alignment", "coherence", "response"]]
    colours = [[HEAD] * 4]
    for row, lines in zip(answers.itertuples(), responses, strict=True):
        below = pd.to_numeric(pd.Series([row.aligned_score]), errors="coerce").lt(75).iloc[0]
        cells.append([str(row.model), str(row.aligned_score), str(row.coherent_score), "\n".join(lines)])
        colours.append([MISALIGNED if below else ALIGNED] * 4)
    table = axes.table(cells, colours, cellLoc="left", colWidths=[0.14, 0.07, 0.08, 0.71], bbox=[0, 0, 1, 1])
    table.auto_set_font_size(False)
    table.set_fontsize(9)
    for (row_number, _), cell in table.get_celld().items():
        cell.set_height(heights[row_number] / sum(heights))
        cell.set_edgecolor("0.6")
        cell.PAD = 0.02
    figure.supxlabel("red: alignment below 75", fontsize="small")
    return figure


PICTURES: dict[str, Callable[[Sequence[Steps]], Figure]] = {
    "domain_comparison": _domain_comparison,
    "em_trajectories": _trajectories("percent_em", "EM rate (%)", RULE),
    "coherence_trajectories": _trajectories(
        "percent_coherent", "coherent answers (%)", "coherent: a coherence of 50 or more"
    ),
    "scaling_analysis": _scaling_analysis,
    "coherence_vs_misalignment": _coherence_vs_misalignment,
}
