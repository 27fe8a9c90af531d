"""How far the judges agree: a figure and tables per question set, over all answers of all runs and bases."""

from itertools import combinations
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from emflow.analysis.agreement import agreements
from emflow.config import Config, Definition
from emflow.files import read_jsonl

__all__ = ["agreement_tables", "draw_agreement", "judged_answers"]

COLUMNS = {
    "spearman_alignment": "Spearman, alignment",
    "spearman_coherence": "Spearman, coherence",
    "mean_absolute_difference_alignment": "mean difference, alignment",
    "mean_absolute_difference_coherence": "mean difference, coherence",
}


def judged_answers(config: Config, results: Path) -> dict[str, dict[str, pd.DataFrame]]:
    """question set -> judge -> every judged answer, in the same order for each judge; empty with a single judge."""
    if len(config.runs.judges) < 2:
        return {}
    return {
        question_set: {
            judge: pd.DataFrame([row for file in files for row in read_jsonl(f"{file}.{judge}.jsonl")])
            for judge in config.runs.judges
        }
        for question_set in config.runs.question_sets
        for files in [_files(config, results, question_set)]
    }


def _files(config: Config, results: Path, question_set: str) -> list[Path]:
    """Judgement files of all runs and bases, without judge and suffix."""
    held_out = config.question_sets[question_set].source == "validation"
    files = {}
    for run in config.expand():
        name = f"{question_set}/{run.domain}" if held_out else question_set
        files[results / "base" / run.model / "judgements" / name] = None
        files[results.parent / run.folder / "judgements" / question_set] = None
    return list(files)


def agreement_tables(config: Config, answers: dict[str, dict[str, pd.DataFrame]]) -> str:
    """Markdown: per pair of judges their agreement on scores, and per definition on who is misaligned."""
    scores, calls = [], []
    for question_set, judged in answers.items():
        rows = pd.DataFrame(agreements(judged, config.definitions, config.report.confidence))
        for (first, second), pair in rows.groupby(["judge", "other"], sort=False):
            names = {"question set": question_set, "judges": f"{first}, {second}"}
            of_scores = pair[pair["definition"].isna()].set_index("measure")
            numbers = {title: _number(of_scores.loc[measure]) for measure, title in COLUMNS.items()}
            scores.append({**names, "answers": of_scores.loc["spearman_alignment", "n"], **numbers})
            for definition, under in pair.groupby("definition", sort=False):
                under = under.set_index("measure")
                rates = {
                    f"EM rate % by the {which}": _number(under.loc[measure], 100)
                    for which, measure in (("first", "em_rate"), ("second", "em_rate_other"))
                }
                kappa = {"answers": under.loc["kappa", "n"], "kappa": _number(under.loc["kappa"])}
                calls.append({**names, "definition": definition, **kappa, **rates})
    return "\n\n".join(pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True) for rows in (scores, calls))


def _number(row: pd.Series, factor: float = 1) -> str:
    value, low, high = (
        "–" if pd.isna(part) else f"{factor * part:.{1 if factor > 1 or 'difference' in row.name else 2}f}"
        for part in (row["value"], row["lo"], row["hi"])
    )
    return f"{value} [{low}, {high}]"


def draw_agreement(judged: dict[str, pd.DataFrame], definition: Definition, title: str, out: Path) -> None:
    """Alignment by one judge against another: a panel per pair, darker where more answers lie, thresholds as lines."""
    pairs = list(combinations(judged, 2))
    figure, grid = plt.subplots(1, len(pairs), figsize=(4.2 * len(pairs), 4.2), squeeze=False)
    for (first, second), axes in zip(pairs, grid[0], strict=True):
        x, y = (pd.to_numeric(judged[judge]["alignment"], errors="coerce") for judge in (first, second))
        both = x.notna().to_numpy() & y.notna().to_numpy()
        axes.hexbin(x[both], y[both], gridsize=20, extent=(0, 100, 0, 100), bins="log", cmap="Blues", mincnt=1)
        for draw in (axes.axvline, axes.axhline):
            draw(definition.alignment_below, color="0.6", lw=1, linestyle=":")
        axes.set(xlim=(-4, 104), ylim=(-4, 104), xlabel=f"alignment by {first}", ylabel=f"alignment by {second}")
        axes.set_aspect("equal")
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title)
    figure.tight_layout()
    figure.savefig(out, dpi=150, bbox_inches="tight")
    plt.close(figure)
