"""Which questions misalignment shows on, and how scores are distributed."""

from functools import partial
from itertools import product

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from emflow.reporting.design import Design
from emflow.reporting.last import Counts, answerers, last_and_base, names_of, shown_counts
from emflow.reporting.numbers import ANSWERED, Numbers
from emflow.reporting.section import Picture, ReportSection
from emflow.reporting.style import panels, short_names, words
from emflow.reporting.words import span

__all__ = ["questions"]

MOST = 24  # questions that a heat map shows
BINS = [*range(0, 100, 10)]
MOST_NAMES = 40  # rows or columns of a heat map
MOST_NAMES_SAID = " (those with the highest EM rate)"
OTHERS = ["REFUSAL", "CODE", "none"]


def questions(numbers: Numbers, design: Design) -> ReportSection | None:
    """A heat map per question set that all runs share, and a figure of the scores."""
    last = last_and_base(numbers.rates, design)
    last = _most(last.assign(name=short_names(last)))
    counts, pictures = shown_counts(numbers, design), []
    who = f"last checkpoints{MOST_NAMES_SAID if last['name'].nunique() == MOST_NAMES else ''}, seeds together"
    for (name, judge), rows in last.groupby(["question_set", "judge"], sort=False):
        table = _per_question(rows, counts)
        if name not in design.held_out and not table.empty:
            most = " those with the highest" if table["question"].nunique() >= MOST else " each"
            caption = (
                f"EM rate (%) per question of {words(str(name))}, judge {judge}:{most}, darker where "
                f"more is misaligned; {who}, {span(table['n_counted'])} answers to a question."
            )
            pictures.append(
                Picture(f"questions.{name}.{judge}", table, partial(_heat, table, words(str(name))), caption)
            )
    scores = _scores(numbers, last)
    if not scores.empty:
        caption = (
            f"Alignment scores of bases and {who}: share of answers (%) in each ten points, darker where there are "
            "more; none: not judged, or not asked."
        )
        pictures.append(Picture("scores", scores, partial(_heat_scores, scores), caption))
    return ReportSection("Questions and scores", list(pictures)) if pictures else None


def _most(last: pd.DataFrame) -> pd.DataFrame:
    """Bases and the rows of `MOST_NAMES` names at most, those with the highest mean EM rate."""
    rates = last.groupby("name", sort=False)["em_rate"].mean()
    return last[last["name"].isin(rates.nlargest(MOST_NAMES).index)] if len(rates) > MOST_NAMES else last


def _per_question(rows: pd.DataFrame, counts: Counts) -> pd.DataFrame:
    """name, question, em_rate, n_counted; the questions with the highest mean rate first."""
    names, found = counts.of(*rows.itertuples())
    who, which = np.nonzero(found[..., 1])
    misaligned, counted = found[who, which].T
    table = pd.DataFrame({"name": rows["name"].to_numpy()[who], "question": np.array(names, dtype=object)[which],
                          "n_misaligned": misaligned, "n_counted": counted})  # fmt: skip
    table = table.groupby(["name", "question"], sort=False).sum().reset_index()
    table.insert(2, "em_rate", table.pop("n_misaligned") / table["n_counted"])
    order = table.groupby("question")["em_rate"].mean().sort_values(ascending=False, kind="stable").index[:MOST]
    place = pd.Series(range(len(order)), index=order)
    table = table[table["question"].isin(order)]
    return table.assign(place=table["question"].map(place)).sort_values("place", kind="stable").drop(columns="place")


def _heat(table: pd.DataFrame, title: str) -> Figure:
    wide = table.pivot_table(index="question", columns="name", values="em_rate", sort=False)
    wide = wide[list(dict.fromkeys(table["name"]))]
    return _cells(100 * wide.to_numpy(), list(wide.index), list(wide.columns), f"EM rate (%), {title}")


def _cells(values: np.ndarray, rows: list[str], columns: list[str], title: str) -> Figure:
    width = max(1.2, 0.3 * len(columns))
    figure, grid = panels(1, 1, (3.4 + width, 2.6 + 0.17 * len(rows)))
    axes = grid[0, 0]
    image = axes.imshow(values, cmap="Greys", vmin=0, vmax=100, aspect="auto")
    axes.set_yticks(range(len(rows)), [row if len(row) < 40 else f"{row[:37]}..." for row in rows], fontsize=7)
    axes.set_xticks(range(len(columns)), columns, fontsize=7, rotation=60, ha="right")
    axes.grid(visible=False)
    axes.set_title(title, fontsize=10)
    figure.colorbar(image, cax=axes.inset_axes((1 + 0.2 / width, 0.2, 0.15 / width, 0.6)))
    return figure


def _scores(numbers: Numbers, last: pd.DataFrame) -> pd.DataFrame:
    """name, question_set, judge, alignment (its bin), share of answers; of `last`."""
    bins = {value: _bin(value) for value in numbers.scores["alignment"].unique()}
    scores = numbers.scores.assign(bin=numbers.scores["alignment"].map(bins))
    number = scores.groupby(ANSWERED, sort=False, dropna=False).ngroup()
    wide = scores.groupby([number, "bin"])["answers"].sum().unstack(fill_value=0)
    wide = wide.reindex(columns=[*map(str, BINS), *OTHERS], fill_value=0)
    first = ~number.duplicated()
    place = dict(zip(answerers(scores[first]), number[first], strict=True))
    rows = []
    for row in last.itertuples():
        if who := next((who for who in names_of(row) if who in place), None):
            own = wide.loc[place[who]]
            total = own.sum()
            rows += [[row.name, row.question_set, row.judge, name, n / total] for name, n in own.items() if n]
    table = pd.DataFrame(rows, columns=["name", "question_set", "judge", "alignment", "share"])
    of_name = table.groupby(["name", "question_set", "judge"], sort=False)["share"].transform("sum")
    return table.assign(share=table["share"] / of_name).groupby(list(table)[:4], sort=False).sum().reset_index()


def _bin(value: object) -> str:
    if value in OTHERS:
        return str(value)
    number = pd.to_numeric(str(value), errors="coerce")
    return "none" if pd.isna(number) else str(int(number))


def _heat_scores(scores: pd.DataFrame) -> Figure:
    """A row of panels per judge, a panel per question set, in it a row per name."""
    order = [name for name in (*map(str, BINS), *OTHERS) if (scores["alignment"] == name).any() or name.isdigit()]
    labels = [f"{name}–{int(name) + 10}" if name.isdigit() else name for name in order]
    names = list(dict.fromkeys(scores["name"]))
    most = 100 * scores["share"].max()
    judges, sets = scores["judge"].unique(), scores["question_set"].unique()
    size = (3.0 + 2.4 / len(sets), 1.7 + 0.22 * len(names))
    figure, grid = panels(len(judges), len(sets), size, sharey=True)
    for (judge, name), axes in zip(product(judges, sets), grid.flat, strict=True):
        panel = scores[(scores["question_set"] == name) & (scores["judge"] == judge)]
        wide = panel.pivot(index="name", columns="alignment", values="share").reindex(names, columns=order).fillna(0)
        image = axes.imshow(100 * wide.to_numpy(), cmap="Greys", vmin=0, vmax=most, aspect="auto")
        axes.set_yticks(range(len(names)), names, fontsize=8)
        axes.set_xticks(range(len(order)), labels, fontsize=7, rotation=90)
        axes.set_xlabel("alignment")
        axes.set_title(words(name) + (f", {judge}" if len(judges) > 1 else ""), fontsize=10)
        axes.grid(visible=False)
    figure.colorbar(image, cax=axes.inset_axes((1.06, 0, 0.06, 1)), label="answers (%)")
    return figure
