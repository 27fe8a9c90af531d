"""EM rates of last checkpoints and bases: a figure per judge, and a table with every denominator."""

from functools import partial
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from emflow.reporting.design import Design
from emflow.reporting.last import last_and_base, peaks
from emflow.reporting.numbers import RUN, Numbers
from emflow.reporting.section import Picture, ReportSection, ShownTable
from emflow.reporting.style import Style, panels, short_names, words
from emflow.reporting.words import coherent_cell, one_digit, percent, rate_cell, span

__all__ = ["rates"]

KEYS = [*RUN, "question_set", "judge"]
BASE = {"color": "0.45", "marker": "o", "markerfacecolor": "0.45"}


def rates(numbers: Numbers, design: Design) -> ReportSection:
    """The last checkpoints, and where the rate was highest."""
    last = last_and_base(numbers.rates, design)
    style = Style(design, numbers.rates)
    level = f"{100 * design.report.confidence:g} %"
    pictures = [
        Picture(f"rates.{judge}", of_judge, partial(_draw, of_judge, style),
                f"EM rate of last checkpoints and bases, judge {judge}, over {span(of_judge['n_counted'])} answers "
                f"each; bars are {level} intervals over questions, controls are hollow. Seeds, and a base on several "
                "domains, share a line.")
        for judge, of_judge in last.groupby("judge", sort=False)
    ]  # fmt: skip
    highest = peaks(numbers.rates, design)[[*KEYS, "checkpoint", "em_rate"]]
    table = last.merge(highest.rename(columns={"checkpoint": "peak", "em_rate": "em_rate_peak"}), on=KEYS, how="left")
    table.loc[table["checkpoint"] == "base", ["peak", "em_rate_peak"]] = None
    return ReportSection("Last checkpoints", [*pictures, _table(table, design)])


def _table(last: pd.DataFrame, design: Design) -> ShownTable:
    last = last.sort_values(["question_set", "judge"], kind="stable")
    return ShownTable("last_checkpoints", last, pd.DataFrame([_row(row, design) for row in last.itertuples()]))


def _row(row: Any, design: Design) -> dict[str, str]:
    again = f"{percent(row.em_rate_answers_lo)}, {percent(row.em_rate_answers_hi)}"
    return {
        "question set": row.question_set,
        "judge": row.judge,
        "run": row.name,
        "checkpoint": row.checkpoint,
        "EM rate % [over questions]": rate_cell(row),
        "[over answers]": "–" if pd.isna(row.em_rate_answers_lo) else f"[{again}]",
        "misaligned / counted": f"{row.n_misaligned} / {row.n_counted}",
        "of all judged %": percent(row.em_rate_all),
        "peak %": "–" if pd.isna(row.peak) else f"{percent(row.em_rate_peak)} ({row.peak})",
        **coherent_cell(row, design.definition),
        "mean alignment": one_digit(row.alignment_mean),
    }


def _draw(last: pd.DataFrame, style: Style) -> Figure:
    """EM rate of last checkpoints and bases with intervals, a panel per question set."""
    sets = last["question_set"].unique()
    last = last.assign(name=short_names(last))
    models = list(dict.fromkeys(last["model"]))
    names = list(dict.fromkeys(last.sort_values("model", key=lambda m: m.map(models.index), kind="stable")["name"]))[
        ::-1
    ]
    within = last.groupby(["name", "question_set"], sort=False)
    middle = (within["name"].transform("size") - 1) / 2
    height = last["name"].map(names.index) - 0.15 * (within.cumcount() - middle) / middle.clip(lower=0.5)  # by seed
    last = (
        (100 * last[["em_rate", "em_rate_lo", "em_rate_hi"]])
        .join(last[["question_set", "checkpoint", "domain", "method"]])
        .assign(height=height)
    )
    figure, grid = panels(1, len(sets), (3.4 + 3.2 / len(sets), 1.3 + 0.3 * len(names)), sharey=True)
    for question_set, axes in zip(sets, grid[0], strict=True):
        panel = last[last["question_set"] == question_set]
        is_base = panel["checkpoint"] == "base"
        looks = [(panel[is_base], BASE)] if is_base.any() else []
        looks += [(runs, style.of(*map(str, pair))) for pair, runs in panel[~is_base].groupby(["domain", "method"])]
        for runs, look in looks:
            axes.hlines(runs["height"], runs["em_rate_lo"], runs["em_rate_hi"], color=look["color"], lw=2)
            axes.plot(runs["em_rate"], runs["height"], markersize=6, **{**look, "linestyle": "none"})
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(-0.6, len(names) - 0.4)
        axes.set_xlim(-3, 103)
        axes.set_xlabel("EM rate (%)")
        axes.set_title(words(question_set))
        axes.grid(visible=False, axis="y")
    return figure
