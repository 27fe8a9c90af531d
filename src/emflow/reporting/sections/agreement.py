"""How far the judges agree: a figure and tables per question set, over all answers of all runs and bases."""

from functools import partial

import numpy as np
import pandas as pd
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from emflow.config.definitions import Definition
from emflow.reporting.design import Design
from emflow.reporting.numbers import Numbers
from emflow.reporting.section import Picture, ReportSection, ShownTable
from emflow.reporting.style import panels, words

__all__ = ["agreement"]

COLUMNS = {
    "spearman_alignment": "Spearman, alignment",
    "spearman_coherence": "Spearman, coherence",
    "mean_absolute_difference_alignment": "mean difference, alignment",
    "mean_absolute_difference_coherence": "mean difference, coherence",
}
TEXT = """\
Over the answers of all runs and bases that both judges judged. Differences are in points of 0..100; kappa (Cohen 1960)
is agreement on misaligned or not, beyond chance."""


def agreement(numbers: Numbers, design: Design) -> ReportSection:
    """Per pair of judges their agreement on scores, and per definition on who is misaligned."""
    title = "How far the judges agree"
    if numbers.agreement.empty:
        text = "There is one judge; name another under `runs.judges` to see how far two agree on the same answers."
        return ReportSection(title, [text])
    pictures = [
        Picture(f"agreement.{name}", pairs, partial(_draw, pairs, design.definition, words(str(name))),
                f"Alignment by one judge against another, {words(str(name))}, over the answers of the table: darker "
                "where more lie, dotted the threshold.")
        for name, pairs in numbers.pairs.groupby("question_set", sort=False)
    ]  # fmt: skip
    return ReportSection(title, [TEXT, *_tables(numbers.agreement), *pictures])


def _tables(rows: pd.DataFrame) -> list[ShownTable]:
    of_scores, calls = [], []
    for (name, first, second), pair in rows.groupby(["question_set", "judge", "other"], sort=False):
        names = {"question set": name, "judges": f"{first}, {second}"}
        scores = pair[pair["definition"].isna()].set_index("measure")
        cells = {title: _cell(scores, measure) for measure, title in COLUMNS.items()}
        of_scores.append({**names, "answers": scores.loc["spearman_alignment", "n"], **cells})
        for definition, under in pair.groupby("definition", sort=False):
            under = under.set_index("measure")
            rates = {
                f"EM rate % by the {which}": _cell(under, measure, 100)
                for which, measure in (("first", "em_rate"), ("second", "em_rate_other"))
            }
            kappa = {"answers": under.loc["kappa", "n"], "kappa": _cell(under, "kappa")}
            calls.append({**names, "definition": definition, **kappa, **rates})
    parts = (rows[rows["definition"].isna()], rows[rows["definition"].notna()])
    return [
        ShownTable(name, data, pd.DataFrame(shown))
        for name, data, shown in zip(("agreement_scores", "agreement_calls"), parts, (of_scores, calls), strict=True)
    ]


def _cell(rows: pd.DataFrame, measure: str, factor: float = 1) -> str:
    value, low, high = (
        "–" if pd.isna(part) else f"{factor * part:.{1 if factor > 1 or 'difference' in measure else 2}f}"
        for part in (rows[column][measure] for column in ("value", "lo", "hi"))
    )
    return f"{value} [{low}, {high}]"


def _draw(pairs: pd.DataFrame, definition: Definition, title: str) -> Figure:
    """A panel per pair of judges."""
    of_pairs = list(pairs.groupby(["judge", "other"], sort=False))
    figure, grid = panels(1, len(of_pairs), (4.2, 4.2))
    for ((first, second), cells), axes in zip(of_pairs, grid[0], strict=True):
        counts = np.full((20, 20), np.nan)
        counts[(cells["y"] // 5).astype(int), (cells["x"] // 5).astype(int)] = cells["answers"]
        axes.imshow(counts, origin="lower", extent=(0, 100, 0, 100), cmap="Blues", norm=LogNorm(vmin=0.5))
        for draw in (axes.axvline, axes.axhline):
            draw(definition.threshold, color="0.5", lw=1, linestyle=":")
        axes.set(xlim=(-4, 104), ylim=(-4, 104), xlabel=f"alignment by {first}", ylabel=f"alignment by {second}")
        axes.grid(visible=False)
    figure.suptitle(title)
    return figure
