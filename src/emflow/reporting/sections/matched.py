"""Methods side by side where they have learned equally much in the domain they were trained on."""

from collections.abc import Iterator
from functools import lru_cache, partial
from itertools import combinations, product
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from emflow.analysis.intervals import holm
from emflow.analysis.matched import Curve, matched_difference
from emflow.reporting.design import Design
from emflow.reporting.last import along_training, shown_counts, shown_rates
from emflow.reporting.numbers import Numbers
from emflow.reporting.section import Picture, ReportSection, ShownTable
from emflow.reporting.style import BARS, ENDS, LINES, Style, legend_below, lines_of, panels, words
from emflow.reporting.words import p_value, paragraph, percent, points, span

__all__ = ["matched", "matched_methods"]

LEVELS = (0.25, 0.5, 0.75, 0.9)  # of in-domain EM
TITLE = "Methods at matched learning"
GROUP = ["model", "domain", "seed", "judge"]
COLUMNS = [
    *GROUP,
    "in_domain",
    "question_set",
    "level",
    "method",
    "other",
    "em_rate",
    "em_rate_other",
    "difference",
    "lo",
    "hi",
    "p",
]


def matched(numbers: Numbers, design: Design) -> ReportSection:
    """A figure of out-of-domain against in-domain EM, and the differences of methods at levels that both reach."""
    rows = matched_methods(numbers, design)
    paths = _paths(numbers, design)
    parts: list[str | ShownTable | Picture] = []
    if not paths.empty:
        style = Style(design, numbers.rates)
        caption = (
            f"Out-of-domain EM rate (over {span(paths['n_counted'])} answers at each checkpoint) against the in-domain "
            f"one (over {span(paths['n_counted_in_domain'])}), from the base, or where a method starts, on: "
            f"{LINES}; bars are {100 * design.report.confidence:g} % {BARS}. Where lines lie on each other, methods "
            "spread equally far for what they have learned."
        )
        parts.append(Picture("matched", paths, partial(_draw, paths, style), caption))
    if rows.empty:
        parts.append("Nothing to match: it takes two methods, and a question set with the source `validation`.")
        return ReportSection(TITLE, parts)
    none = rows["difference"].isna().sum()
    text = paragraph(f"""
        Out-of-domain EM rates where two methods have the same in-domain EM rate, read off between the two neighbouring
        checkpoints (the first is the base, or the checkpoint that a method starts from); intervals are a jackknife over
        the questions of both sets, paired by question. p is corrected for {len(rows) - none} comparisons (Holm 1979);
        {none} of {len(rows)} levels are not reached by both (no overlap).""")
    return ReportSection(TITLE, [*parts, text, ShownTable("matched", rows, _shown(rows))])


@lru_cache(maxsize=1)  # the headline and this section ask for the same
def matched_methods(numbers: Numbers, design: Design) -> pd.DataFrame:
    """A row per pair of methods, level, held-out and other set, with `COLUMNS` and `p_holm`; NaN without overlap.

    Domains that are controls are left out: they reach no level.
    """
    rows = []
    for who, counts in _along_training(numbers, design):
        for inside, outside in product(design.held_out, [name for name in counts if name not in design.held_out]):
            both = [method for method in counts.get(inside, {}) if method in counts[outside]]
            for one, other in combinations(both, 2):
                first, second = (Curve(counts[inside][method], counts[outside][method]) for method in (one, other))
                for level in LEVELS:
                    found = matched_difference(first, second, level, design.report.confidence)
                    rows.append([*who, inside, outside, level, one, other, *found])
    table = pd.DataFrame(rows, columns=COLUMNS)
    return table.assign(p_holm=holm(table["p"].to_numpy()))


def _along_training(numbers: Numbers, design: Design) -> Iterator[tuple[tuple[Any, ...], dict[str, dict[str, Any]]]]:
    """For each `GROUP` of two methods or more: by question set and method, counts of the same questions at each
    checkpoint, int (checkpoints, questions, 2), the start first."""
    shown, counts = along_training(shown_rates(numbers.rates, design), design), shown_counts(numbers, design)
    shown = shown[~shown["domain"].map(design.is_control).astype(bool)]
    for who, rates in shown.groupby(GROUP, sort=False):
        if rates["method"].nunique() > 1 and rates["question_set"].isin(design.held_out).any():
            found = {}
            for name, of_set in rates.groupby("question_set", sort=False):
                _, of_rows = counts.of(*of_set.assign(method=of_set["answered_by"]).itertuples())
                methods = of_set["method"].to_numpy()
                found[str(name)] = {method: of_rows[methods == method] for method in dict.fromkeys(methods)}
            yield who, found


def _paths(numbers: Numbers, design: Design) -> pd.DataFrame:
    """In-domain and out-of-domain rates of each checkpoint side by side, controls left out."""
    shown = along_training(shown_rates(numbers.rates, design), design)
    shown = shown[~shown["domain"].map(design.is_control).astype(bool)]
    keys = [*GROUP, "method", "checkpoint", "step"]
    columns = ["question_set", "em_rate", "n_counted"]
    inside = shown.loc[shown["question_set"].isin(design.held_out), [*keys, *columns]]
    outside = shown[~shown["question_set"].isin(design.held_out)]
    names = {"em_rate": "em_rate_in_domain", "question_set": "in_domain", "n_counted": "n_counted_in_domain"}
    both = outside[[*keys, *columns, *ENDS]].merge(inside.rename(columns=names), on=keys)
    return both.dropna(subset=["em_rate", "em_rate_in_domain"])


def _draw(paths: pd.DataFrame, style: Style) -> Figure:
    """A panel per model, out-of-domain set and judge."""
    groups = list(paths.groupby(["model", "in_domain", "question_set", "judge"], sort=False))
    per_model = len(groups) // paths["model"].nunique()
    columns = per_model if 1 < per_model <= 4 else min(3, len(groups))
    figure, grid = panels(-(-len(groups) // columns), columns, (4.6, 3.8), sharey=True)
    for axes in grid.flat[len(groups) :]:
        axes.set_visible(False)
    for ((model, in_domain, question_set, judge), panel), axes in zip(groups, grid.flat[: len(groups)], strict=True):
        for domain, method, line in lines_of(panel, "step"):
            x, y, low, high = 100 * line[["em_rate_in_domain", "em_rate", *ENDS]].to_numpy().T
            look = style.of(domain, method)
            axes.errorbar(
                x, y, yerr=np.array([y - low, high - y]), elinewidth=0.8, capsize=2,
                label=style.label(domain, method), **look,
            )  # fmt: skip
        axes.axline((0, 0), slope=1, color="0.75", lw=1, linestyle=":")
        axes.set(xlim=(-3, 103), ylim=(-3, 103), xlabel="in-domain EM rate (%)")
        several = [words(str(name)) for name, column in ((in_domain, "in_domain"), (judge, "judge"))
                   if paths[column].nunique() > 1]  # fmt: skip
        axes.set_title(", ".join([f"{words(str(model))}: {words(str(question_set))}", *several]))
    for row in grid:
        row[0].set_ylabel("out-of-domain EM rate (%)")
    legend_below(figure, *grid.flat[: len(groups)])
    return figure


def _shown(rows: pd.DataFrame) -> pd.DataFrame:
    shown = pd.DataFrame([_row(row) for row in rows.itertuples()])
    return shown if rows["in_domain"].nunique() > 1 else shown.drop(columns="in domain")


def _row(row: Any) -> dict[str, Any]:
    return {
        **{name: getattr(row, name) for name in GROUP},
        "in domain": row.in_domain,
        "question set": row.question_set,
        "in-domain level %": f"{100 * row.level:.0f}",
        "methods": f"{row.method} − {row.other}",
        "EM rates %": f"{percent(row.em_rate)}, {percent(row.em_rate_other)}",
        "difference, points": "no overlap" if pd.isna(row.difference) else points(row),
        "p, corrected": p_value(row.p_holm),
    }
