"""Whether answers further along a direction are the misaligned ones, and checkpoints further along give more."""

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from emflow.reporting.design import Design
from emflow.reporting.numbers import RUN, Numbers
from emflow.reporting.section import Picture, ReportSection, ShownTable
from emflow.reporting.style import COLOURS, legend_below, panels, percent_axis
from emflow.reporting.words import paragraph, run_name

__all__ = ["projections"]

LOOKS = {"auc": ("-", "all pairs of answers"), "auc_within_questions": ("--", "pairs that answer one question")}


def projections(numbers: Numbers, design: Design) -> ReportSection | None:
    """A figure by layer and by checkpoint, and a table of runs."""
    rows = numbers.projections
    if rows.empty or design.directions is None:
        return None
    text = paragraph(f"""
        Answers to `{design.directions.evaluate_on}`, read by the checkpoints that gave them, along the run's own
        directions, which are made of other questions. *AUC*: the chance that a misaligned answer lies further along
        than an aligned one; a half is chance, among pairs that answer one question the question cannot tell, and where
        the base reading the same answers does as well, the texts alone do.
        *Finetuning shift*: how much further the last token of the prompts lies along after fine-tuning than in the
        base, in mean norms of the base's activations; r is its correlation with the EM rate over a run's
        checkpoints.""")
    caption = "Left: AUC of last checkpoints by layer. Right: EM rate of each checkpoint by its finetuning shift."
    picture = Picture("projections", rows, partial(_draw, rows), caption)
    of = "Over layers, the least to the most. The number of checkpoints is that behind r."
    runs = _with_correlations(rows)
    return ReportSection("Projections", [text, picture, ShownTable("projections", runs, _shown(runs), of)])


def _with_correlations(rows: pd.DataFrame) -> pd.DataFrame:
    """And of each run, direction and layer: how many checkpoints, and their correlation of shift and EM."""
    layers = [
        part.assign(checkpoints=part["checkpoint"].nunique(), correlation=_correlation(part))
        for _, part in rows.groupby([*RUN, "direction", "layer"], sort=False)
    ]
    return pd.concat(layers).sort_index()


def _last(part: pd.DataFrame) -> pd.DataFrame:
    """Of a run: rows are in the order of its checkpoints."""
    last: pd.DataFrame = part[part["checkpoint"] == part["checkpoint"].iloc[-1]]
    return last


def _shown(rows: pd.DataFrame) -> pd.DataFrame:
    shown = []
    for _, part in rows.groupby([*RUN, "direction"], sort=False):
        last = _last(part)
        first: Any = next(last.itertuples())
        shown.append(
            {
                "run": run_name(first),
                "direction": first.direction,
                "misaligned / aligned answers": f"{first.n_misaligned} / {first.n_aligned}",
                "AUC": _span(last["auc"]),
                "AUC, the base reading": _span(last["auc_base_reading"]),
                "pairs of one question": str(first.pairs_within_questions),
                "AUC within questions": _span(last["auc_within_questions"]),
                "finetuning shift": _span(last["shift"]),
                "checkpoints": str(first.checkpoints),
                "r of shift and EM": _span(last["correlation"]),
            }
        )
    return pd.DataFrame(shown)


def _correlation(layer: pd.DataFrame) -> float:
    """Of one layer over checkpoints (Pearson); NaN where there are fewer than 3, or one of the two does not move."""
    known = layer.dropna(subset=["shift", "em_rate"])
    if len(known) < 3 or known["shift"].nunique() == 1 or known["em_rate"].nunique() == 1:
        return float("nan")
    return float(np.corrcoef(known["shift"], known["em_rate"])[0, 1])


def _span(values: "pd.Series[float]") -> str:
    return "–" if values.isna().all() else f"{values.min():.2f} to {values.max():.2f}"


def _draw(rows: pd.DataFrame) -> Figure:
    """A row of two panels per kind of direction; a colour per run."""
    kinds = list(rows["direction"].unique())
    figure, grid = panels(len(kinds), 2, (4.6, 3.2))
    for kind, (by_layer, by_shift) in zip(kinds, grid, strict=True):
        runs = rows[rows["direction"] == kind].groupby(RUN, sort=False)
        for number, (_, part) in enumerate(runs):
            last, colour = _last(part), COLOURS[number % len(COLOURS)]
            name = run_name(next(part.itertuples()))
            for column, (style, of) in LOOKS.items():
                by_layer.plot(last["layer"], last[column], style, marker="o", color=colour, label=f"{name}: {of}")
            for layer, of_layer in part.groupby("layer"):
                alpha = 0.3 + 0.7 * float(np.mean(last["layer"] <= layer))
                by_shift.plot(of_layer["shift"], 100 * of_layer["em_rate"], "o", color=colour, alpha=alpha)
        by_layer.axhline(0.5, color="0.6", lw=0.8)
        by_layer.set_ylim(-0.03, 1.03)
        by_layer.xaxis.set_major_locator(MaxNLocator(integer=True))
        by_layer.set_xlabel("layer")
        by_layer.set_ylabel("AUC")
        by_layer.set_title(kind)
        percent_axis(by_shift)
        by_shift.set_xlabel("finetuning shift (later layers darker)")
        by_shift.set_ylabel("EM rate (%)")
        by_shift.set_title(kind)
    legend_below(figure, *grid[:, 0], ncols=1)
    return figure
