"""What training logged."""

from functools import partial

import pandas as pd
from matplotlib.figure import Figure

from emflow.reporting.design import Design
from emflow.reporting.numbers import RUN, Numbers
from emflow.reporting.section import Picture, ReportSection
from emflow.reporting.style import LINES, Style, legend_below, lines_of, panels
from emflow.reporting.words import paragraph

__all__ = ["training"]

PANELS = (  # columns of the log, title, unit
    ("step", "loss", "training loss", "nats per token"),
    ("step", "grad_norm", "gradient norm", "before clipping"),
    ("iteration", "reward_mean", "reward (ES)", "reward of the population"),
)
SPREAD = """The reward is the mean over an iteration's population, the band one standard deviation of its members to
either side, dotted the best of them."""


def training(numbers: Numbers, design: Design) -> ReportSection | None:
    """A figure of losses, gradient norms and rewards; nothing where no log is there."""
    logs = numbers.logs
    shown = [panel for panel in PANELS if panel[1] in logs and logs[panel[1]].notna().any()]
    if not shown:
        return None
    style = Style(design, numbers.rates)
    named = ", ".join(panel[2] for panel in shown)
    caption = f"What training logged of {logs.groupby(RUN).ngroups} runs, {LINES}: {named}."
    caption += " " + paragraph(SPREAD) if "reward_mean" in [y for _, y, *_ in shown] else ""
    return ReportSection("Training", [Picture("training", logs, partial(_draw, logs, shown, style), caption)])


def _draw(logs: pd.DataFrame, shown: list[tuple[str, str, str, str]], style: Style) -> Figure:
    """A row per model, a panel per measure."""
    models = logs["model"].unique()
    figure, grid = panels(len(models), len(shown), (4.2, 3.2), sharex=True)
    for model, row in zip(models, grid, strict=True):
        for axes, (x, y, title, unit) in zip(row, shown, strict=True):
            for domain, method, log in lines_of(logs[logs["model"] == model].dropna(subset=[y]), x):
                look = {**style.of(domain, method), "markevery": max(1, len(log) // 6)}
                axes.plot(log[x], log[y], lw=1.2, label=style.label(domain, method), **look)
                if y == "reward_mean" and {"reward_std", "reward_max"} <= set(log):
                    ends = (log[y] + side * log["reward_std"] for side in (-1, 1))
                    axes.fill_between(log[x], *ends, color=look["color"], alpha=0.2, lw=0)
                    axes.plot(log[x], log["reward_max"], color=look["color"], lw=0.8, linestyle=":")
            if model == models[-1]:
                axes.set_xlabel(x)
            axes.set_ylabel(unit)
            axes.set_title(f"{model}: {title}" if len(models) > 1 else title)
            if y != "reward_mean":
                axes.set_ylim(bottom=0)
    legend_below(figure, *grid.flat)
    return figure
