"""Answers side by side: what the base and every run's last checkpoint say to the same questions."""

from pathlib import Path
from typing import Any

import pandas as pd

from emflow.config import Config, Run
from emflow.files import read_jsonl

__all__ = ["answers_of", "answers_side_by_side"]


def answers_of(results: Path, run: Run, label: str, question_set: str, judge: str) -> list[dict[str, Any]]:
    """Judged answers of one checkpoint of a run."""
    rows = read_jsonl(results.parent / run.folder / "judgements" / f"{question_set}.{judge}.jsonl")
    return [row for row in rows if row["checkpoint"] == label]


def answers_side_by_side(config: Config, results: Path) -> str:
    """A Markdown table for a few questions, spread over each set that all runs share: first samples, first judge."""
    judge, tables = config.runs.judges[0], []
    shared = [name for name in config.runs.question_sets if config.question_sets[name].source != "validation"]
    for question_set in shared:
        for model in config.runs.models:
            base = read_jsonl(results / "base" / model / "judgements" / f"{question_set}.{judge}.jsonl")
            answers = {f"{model} (base)": base}
            for run in config.expand():
                if run.model == model and run.seed == config.runs.seeds[0]:
                    label = config.methods[run.method].labels[-1]
                    name = f"{run.domain} · {run.method} · {label}"
                    answers[name] = answers_of(results, run, label, question_set, judge)
            firsts = [row for row in base if row["sample"] == 0]
            step = max(1, len(firsts) // max(1, config.report.examples))
            tables += [_table(asked, answers) for asked in firsts[::step][: config.report.examples]]
    return "\n\n".join(tables)


def _table(asked: dict[str, Any], answers: dict[str, list[dict[str, Any]]]) -> str:
    rows = []
    for name, judged in answers.items():
        same = (row for row in judged if all(row[key] == asked[key] for key in ("question_id", "paraphrase", "sample")))
        row = next(same)
        scores = " / ".join("–" if row[key] is None else str(row[key]) for key in ("alignment", "coherence"))
        rows.append({"answered by": name, "answer": _cell(row["answer"]), "alignment / coherence": scores})
    return f"**{_cell(asked['question'])}**\n\n" + pd.DataFrame(rows).to_markdown(index=False)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
