"""The report's figures, each from the rates table or the training logs alone."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes

from emflow.reporting.style import Style

__all__ = ["draw_forest", "draw_training", "draw_trajectories"]

TRAINING = (  # columns of the log, title, unit
    ("step", "loss", "training loss", "loss (nats per assistant token)"),
    ("iteration", "reward_mean", "reward of evolution strategies", "mean over the population"),
)


def draw_trajectories(rates: pd.DataFrame, style: Style, out: Path) -> None:
    """EM rate over training, from the base model on: a row per model, a column per question set, a line per run."""
    models, sets = rates["model"].unique(), rates["question_set"].unique()
    figure, grid = plt.subplots(
        len(models), len(sets), figsize=(4.6 * len(sets), 3.4 * len(models)), squeeze=False, sharey=True
    )
    for model, row in zip(models, grid, strict=True):
        for question_set, axes in zip(sets, row, strict=True):
            panel = rates[(rates["model"] == model) & (rates["question_set"] == question_set)]
            for (domain, method, seed), line in panel.groupby(["domain", "method", "seed"], sort=False):
                look = style.of(domain, method)
                label = style.label(domain, method) if seed == panel["seed"].iloc[0] else None
                axes.plot(line["epoch"], 100 * line["em_rate"], marker="o", markersize=4, label=label, **look)
                axes.fill_between(
                    line["epoch"],
                    100 * line["em_rate_lo"],
                    100 * line["em_rate_hi"],
                    color=look["color"],
                    alpha=0.15,
                    lw=0,
                )
            _percent(axes)
            axes.set_title(f"{model}: {_words(question_set)}")
            axes.set_xlabel("epochs trained (0: base)")
        row[0].set_ylabel("EM rate (%)")
    _legend_below(figure, grid[0, 0])
    _save(figure, out)


def draw_forest(last: pd.DataFrame, style: Style, out: Path) -> None:
    """EM rate of last checkpoints and bases with intervals, a panel per question set; controls are hollow."""
    sets = last["question_set"].unique()
    names = list(dict.fromkeys(last["name"]))[::-1]
    figure, grid = plt.subplots(
        1, len(sets), figsize=(3.2 + 3.4 * len(sets), 1.3 + 0.36 * len(names)), squeeze=False, sharey=True
    )
    for question_set, axes in zip(sets, grid[0], strict=True):
        for row in last[last["question_set"] == question_set].itertuples():
            look = style.of(row.domain, row.method) if row.checkpoint != "base" else {"color": "0.45", "linestyle": "-"}
            height = names.index(row.name)
            axes.plot([100 * row.em_rate_lo, 100 * row.em_rate_hi], [height] * 2, color=look["color"], lw=2)
            filled = look["color"] if look["linestyle"] == "-" else "white"  # hollow: a control
            axes.plot(100 * row.em_rate, height, "o", color=look["color"], markerfacecolor=filled, markersize=6)
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(-0.6, len(names) - 0.4)
        axes.set_xlim(-3, 103)
        axes.set_xlabel("EM rate (%)")
        axes.set_title(_words(question_set))
        axes.grid(axis="x", color="0.9")
        axes.set_axisbelow(True)
    _save(figure, out)


def draw_training(logs: dict[tuple[str, str, str, int], pd.DataFrame], style: Style, out: Path) -> None:
    """What training logs, a line per run: loss over steps, reward over iterations of evolution strategies."""
    panels = [panel for panel in TRAINING if any(panel[1] in log for log in logs.values())]
    figure, grid = plt.subplots(1, len(panels), figsize=(5.4 * len(panels), 3.4), squeeze=False)
    for axes, (x, y, title, unit) in zip(grid[0], panels, strict=True):
        named = set()
        for (_, domain, method, _), log in logs.items():
            if y in log:
                label = style.label(domain, method)
                axes.plot(log[x], log[y], lw=1.4, label=None if label in named else label, **style.of(domain, method))
                named.add(label)
        axes.set_xlabel(x)
        axes.set_ylabel(unit)
        axes.set_title(title)
        axes.grid(color="0.9")
    if TRAINING[0] in panels:
        grid[0, 0].set_ylim(bottom=0)
    _legend_below(figure, *grid[0])
    _save(figure, out)


def _percent(axes: Axes) -> None:
    axes.set_ylim(-3, 103)
    axes.set_yticks(range(0, 101, 20))
    axes.grid(color="0.9")
    axes.set_axisbelow(True)


def _words(name: str) -> str:
    return name.replace("_", " ")


def _legend_below(figure, *panels: Axes) -> None:
    entries = [entry for axes in panels for entry in zip(*axes.get_legend_handles_labels(), strict=True)]
    figure.legend(*zip(*entries, strict=True), loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=2, frameon=False)


def _save(figure, out: Path) -> None:
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(out, dpi=150, bbox_inches="tight")
    plt.close(figure)
