"""What changes with the model's size, and with its coherence."""

from collections.abc import Iterator
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from emflow.reporting.design import Design
from emflow.reporting.last import last_and_base, trained_rows
from emflow.reporting.numbers import Numbers
from emflow.reporting.section import Picture, ReportSection
from emflow.reporting.style import BARS, ENDS, LINES, Style, legend_below, lines_of, panels, percent_axis, words
from emflow.reporting.words import span

__all__ = ["models"]


def models(numbers: Numbers, design: Design) -> ReportSection | None:
    """Scaling, where the config knows two models' sizes; coherence against EM, where the definition asks coherence."""
    last = trained_rows(last_and_base(numbers.rates, design)).dropna(subset=["em_rate"])
    if last.empty:
        return None
    style = Style(design, numbers.rates)
    level = f"{100 * design.report.confidence:g} %"
    pictures = []
    sizes = {} if design.config is None else {name: m.parameters for name, m in design.config.models.items()}
    sized = last.assign(parameters=last["model"].map(sizes).astype(float)).dropna(subset=["parameters"])
    if sized["parameters"].nunique() > 1:
        counted = f"over {span(sized['n_counted'])} answers each"
        caption = f"EM rate of last checkpoints by the model's size, {counted}: {LINES}; bars are {level} {BARS}."
        pictures.append(Picture("scaling", sized, partial(_scaling, sized, style), caption))
    caption = (
        f"Coherent share against EM rate of last checkpoints, over {span(last['n_counted'])} counted answers each: a "
        "recipe that breaks its model lies low; controls are hollow."
    )
    if design.definition.asks_coherence:
        pictures.append(Picture("coherence_against_em", last, partial(_against, last, style), caption))
    return ReportSection("Models", list(pictures)) if pictures else None


def _by_judge_and_set(last: pd.DataFrame) -> tuple[Figure, Any, Iterator[tuple[pd.DataFrame, Axes]]]:
    """A figure with a row per judge and a column per question set, its grid, and the rows and axes of each panel."""
    judges, sets = last["judge"].unique(), last["question_set"].unique()
    figure, grid = panels(len(judges), len(sets), (4.4, 3.4), sharey=True)

    def filled() -> Iterator[tuple[pd.DataFrame, Axes]]:
        for (judge, question_set), axes in zip(product(judges, sets), grid.flat, strict=True):
            percent_axis(axes)
            axes.set_title(words(question_set) + (f", judge {judge}" if len(judges) > 1 else ""))
            yield last[(last["question_set"] == question_set) & (last["judge"] == judge)], axes

    return figure, grid, filled()


def _scaling(last: pd.DataFrame, style: Style) -> Figure:
    sizes = sorted(last["parameters"].unique())
    figure, grid, filled = _by_judge_and_set(last)
    for panel, axes in filled:
        for domain, method, line in lines_of(panel, "parameters"):
            y, low, high = 100 * line[["em_rate", *ENDS]].to_numpy().T
            look = style.of(domain, method)
            axes.errorbar(
                line["parameters"], y, yerr=np.array([y - low, high - y]), elinewidth=0.8, capsize=2,
                label=style.label(domain, method), **look,
            )  # fmt: skip
        axes.set_xscale("log")
        axes.set_xticks(sizes, [f"{size:g}" for size in sizes])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel("parameters (billions)")
    for row in grid:
        row[0].set_ylabel("EM rate (%)")
    legend_below(figure, *grid.flat)
    return figure


def _against(last: pd.DataFrame, style: Style) -> Figure:
    figure, grid, filled = _by_judge_and_set(last)
    for panel, axes in filled:
        for pair, runs in panel.groupby(["domain", "method"], sort=False):
            domain, method = map(str, pair)
            look = {**style.of(domain, method), "linestyle": "none", "markersize": 6}
            axes.plot(100 * runs["em_rate"], 100 * runs["coherent_share"], label=style.label(domain, method), **look)
        axes.set_xlim(-3, 103)
        axes.set_xlabel("EM rate (%)")
    for row in grid:
        row[0].set_ylabel("coherent answers (%)")
    legend_below(figure, *grid.flat)
    return figure
