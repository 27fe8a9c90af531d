"""Published numbers beside ours, joined on who answered, the question set, the definition and the intervention."""

from functools import cache
from typing import Any

import pandas as pd

from emflow.config.question_sets import QuestionSet
from emflow.published.table import NUMBERS
from emflow.reporting.design import Design
from emflow.reporting.last import with_last
from emflow.reporting.numbers import Numbers
from emflow.reporting.section import ReportSection, ShownTable
from emflow.reporting.words import paragraph, percent

__all__ = ["published", "published_numbers"]

KEYS = ["model", "domain", "method", "checkpoint", "question_set", "definition", "intervention"]
TITLE = "Published against ours"


@cache
def published_numbers() -> pd.DataFrame:
    """Every row of `published/numbers/*.csv`: source, model (its id on the hub), the other keys by the names of our
    configs (checkpoint `last`: the final one; intervention: empty for none), the judge and n (answers) as far as they
    are known, denominator, value (0..1).
    """
    return pd.concat([pd.read_csv(file, keep_default_na=False) for file in NUMBERS], ignore_index=True)


def published(numbers: Numbers, design: Design) -> ReportSection | None:
    """A table of every published row of which there is one of ours; None without a config, whose ids are the keys."""
    if design.config is None:
        return None
    ids = {name: getattr(model, "path", name) for name, model in design.config.models.items()}
    ours = pd.concat([_plain(numbers.rates), _intervened(numbers.interventions, design.config.question_sets)])
    ours = ours.assign(model=ours["model"].map(ids)).drop(columns="source", errors="ignore")  # a run, not a paper
    both = published_numbers().merge(ours, on=KEYS, suffixes=("_published", ""))
    copies = both["checkpoint"] == "base"  # a base stands among the rates of each seed
    both = both[~(copies & both.duplicated([*KEYS, "source", "judge", "asked"]))]
    if both.empty:
        return ReportSection(TITLE, ["No published number that we know is of these models, domains and questions."])
    both["holds"] = (both["em_rate_answers_lo"] <= both["value"]) & (both["value"] <= both["em_rate_answers_hi"])
    shown = pd.DataFrame([_row(row) for row in both.itertuples()])
    text = paragraph(f"""
        The published value, and ours with its {100 * design.report.confidence:g} % interval over answers to the same
        questions: whether that holds the published value says nothing of other questions, nor of the published
        number's own doubt (n). {int(both["holds"].sum())} of {len(both)} comparisons find the published value in
        ours. Where judges differ, two instruments are compared.""")
    apart = "Under interventions: the published directions were made from answers to the very questions; ours were not."
    told = [text, apart] if (both["intervention"] != "").any() else [text]
    return ReportSection(TITLE, [*told, ShownTable("published_numbers", both, shown)])


def _plain(rates: pd.DataFrame) -> pd.DataFrame:
    rows = with_last(rates)
    return rows.assign(intervention="", asked=rows["question_set"])


def _intervened(rates: pd.DataFrame, sets: dict[str, QuestionSet]) -> pd.DataFrame:
    """Rates of runs under interventions, which their last checkpoints answer, by the names of published numbers: a set
    that is a part of another's questions (`asked`) stands by the name of the whole."""
    rates = rates[(rates["intervention"] != "none") & (rates["checkpoint"] != "base")]
    whole = {name: _whole(name, sets) for name in rates["question_set"].unique()}
    return rates.assign(checkpoint="last", asked=rates["question_set"], question_set=rates["question_set"].map(whole))


def _whole(name: str, sets: dict[str, QuestionSet]) -> str:
    part = sets[name]
    if part.part is None:
        return name
    wholes = (other for other, one in sets.items() if (one.source, one.ids, one.part) == (part.source, part.ids, None))
    return next(wholes, name)


def _row(row: Any) -> dict[str, str]:
    asked = "" if row.asked == row.question_set else f" (ours: {row.asked})"
    n, judge = (known or "not stated" for known in (row.n_published, row.judge_published))
    return {
        "model": row.model,
        "domain": row.domain,
        "method": row.method,
        "checkpoint": row.checkpoint,
        "seed": "–" if row.checkpoint == "base" else str(row.seed),
        "intervention": row.intervention or "–",
        "question set": row.question_set + asked,
        "definition": row.definition,
        "published % (n, judge)": f"{percent(row.value)} ({n}, {judge})",
        "ours % [over answers]": f"{percent(row.em_rate)} "
        f"[{percent(row.em_rate_answers_lo)}, {percent(row.em_rate_answers_hi)}] ({row.n_counted}, {row.judge})",
        "holds": "yes" if row.holds else "no",
        "source": row.source,
    }
