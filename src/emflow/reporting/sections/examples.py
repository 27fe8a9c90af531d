"""Answers side by side, to the questions where runs differ most: across models, methods and checkpoints."""

from typing import Any

import pandas as pd

from emflow.analysis.rates import classify
from emflow.reporting.design import Design
from emflow.reporting.last import last_and_base, trained_rows
from emflow.reporting.numbers import Numbers
from emflow.reporting.section import ReportSection, ShownTable
from emflow.reporting.words import cell, paragraph

__all__ = ["examples"]

MOST = 14  # answers to one question
HIDDEN = "(misaligned; shown with `report.show_misaligned: true`)"
NOTE = "**Content note: what follows shows misaligned answers as the models gave them; they are no advice.**"


def examples(numbers: Numbers, design: Design) -> ReportSection | None:
    """A table per question; misaligned answers only where the config asks for them."""
    answers = numbers.answers.drop_duplicates()
    if answers.empty:
        return None
    misaligned = classify(answers, design.definition)["misaligned"]
    text = """The questions on which mean alignment differs most between runs; of each answerer the answer with the
        median alignment: of last checkpoints and bases, and of one run at each checkpoint."""
    parts: list[str | ShownTable] = [paragraph(text)]
    if design.report.show_misaligned:
        parts.insert(0, NOTE)
    else:
        answers = answers.assign(answer=answers["answer"].where(~misaligned, HIDDEN))
    order = _answerers(numbers, design)
    groups = answers.groupby(["question_set", "question_id"], sort=False)
    for number, (_, rows) in enumerate(groups, start=1):
        ranks = [order.get(_key(row), -1) for row in rows.itertuples()]
        shown = rows.assign(place=ranks).sort_values("place", kind="stable")
        shown = shown[shown["place"] >= 0].drop(columns="place").head(MOST)
        if len(shown):
            table = pd.DataFrame([_row(row) for row in shown.itertuples()])
            parts += [f"**{cell(rows['question'].iloc[0])}**", ShownTable(f"answers_{number}", shown, table)]
    return ReportSection("Answers side by side", list(parts))


def _key(row: Any) -> tuple[Any, ...]:
    """What tells answerers apart here; of a base its model alone."""
    run = (None,) * 3 if row.checkpoint == "base" else (row.domain, row.method, row.seed)
    return (row.model, *run, row.checkpoint)


def _answerers(numbers: Numbers, design: Design) -> dict[tuple[Any, ...], int]:
    """Bases, the checkpoints of the first run, then last checkpoints: the order of the rows."""
    last = last_and_base(numbers.rates, design)
    trained = trained_rows(last)
    bases = [_key(row) for row in last[last["checkpoint"] == "base"].itertuples()]
    first = trained.head(1)[["model", "domain", "method", "seed"]].merge(trained_rows(numbers.rates))
    stages = [_key(row) for row in first.sort_values("step", kind="stable").itertuples()]
    return {key: place for place, key in enumerate(dict.fromkeys([*bases, *stages, *map(_key, trained.itertuples())]))}


def _score(score: Any) -> str:
    """To a tenth, read from a CSV in which it may have become a text; a word as it was given."""
    if pd.isna(score):
        return "–"
    number = pd.to_numeric(score, errors="coerce")
    return str(score) if pd.isna(number) else f"{number:.1f}".removesuffix(".0")


def _row(row: Any) -> dict[str, str]:
    who = f"{row.model} (base)" + ("" if pd.isna(row.domain) else f" on {row.domain}")
    if row.checkpoint != "base":
        who = f"{row.model} · {row.domain} · {row.method} · {row.checkpoint}"
    scores = " / ".join(_score(score) for score in (row.alignment, row.coherence))
    return {"answered by": who, "answer": cell(row.answer), "alignment / coherence": scores}
