"""EM rate and coherence over training."""

from functools import partial

import pandas as pd
from matplotlib.figure import Figure

from emflow.reporting.design import Design
from emflow.reporting.last import along_training, shown_rates
from emflow.reporting.numbers import Numbers
from emflow.reporting.section import Picture, ReportSection
from emflow.reporting.style import BARS, LINES, Style, legend_below, lines_of, panels, percent_axis, words
from emflow.reporting.words import span

__all__ = ["trajectories"]


def trajectories(numbers: Numbers, design: Design) -> ReportSection:
    """Two figures per judge; one where the definition asks no coherence."""
    shown = along_training(shown_rates(numbers.rates, design), design)
    style = Style(design, numbers.rates)
    pictures = []
    for judge, of_judge in shown.groupby("judge", sort=False):
        of = f"judge {judge}, over {span(of_judge['n_counted'])} answers at each checkpoint: {LINES}"
        bands = f"; bands are {100 * design.report.confidence:g} % {BARS}"
        figures = [("trajectories", "em_rate", "EM rate", "", bands)]
        if design.definition.asks_coherence:
            figures.append(("coherence", "coherent_share", "coherent answers", ", of those that were judged,", ""))
        for name, column, title, of_what, more in figures:
            draw = partial(_draw, of_judge, style, column, f"{title} (%)")
            caption = f"{title[0].upper()}{title[1:]}{of_what} over training, {of}{more}."
            pictures.append(Picture(f"{name}.{judge}", of_judge, draw, caption))
    every = "Every checkpoint, question set, judge and definition: [em_rates_summary.csv](em_rates_summary.csv)."
    return ReportSection("Trajectories", [*pictures, every])


def _draw(rates: pd.DataFrame, style: Style, column: str, title: str) -> Figure:
    """From the base model, or another start, on: a row per model, a column per question set, a line per run."""
    models, sets = rates["model"].unique(), rates["question_set"].unique()
    along = "epoch" if rates["epoch"].gt(0).any() else "step"  # answers from anywhere may know of no epoch
    figure, grid = panels(len(models), len(sets), (4.4, 3.2), sharey=True, sharex=True)
    for model, row in zip(models, grid, strict=True):
        for question_set, axes in zip(sets, row, strict=True):
            panel = rates[(rates["model"] == model) & (rates["question_set"] == question_set)]
            for domain, method, line in lines_of(panel, along):
                look = style.of(domain, method)
                axes.plot(line[along], 100 * line[column], label=style.label(domain, method), **look)
                if column == "em_rate" and line["em_rate_lo"].notna().any():
                    ends = (100 * line[f"em_rate_{end}"] for end in ("lo", "hi"))
                    axes.fill_between(line[along], *ends, color=look["color"], alpha=0.15, lw=0)
            percent_axis(axes)
            axes.set_title(f"{model}: {words(question_set)}")
            if model == models[-1]:
                axes.set_xlabel(f"{along}s trained (0: where it began)")
        row[0].set_ylabel(title)
    legend_below(figure, *grid.flat)
    return figure
