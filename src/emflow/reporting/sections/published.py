"""Published numbers beside ours, joined on model, domain, method, checkpoint, question set and definition."""

from functools import cache
from importlib.resources import files
from typing import Any

import pandas as pd

from emflow.reporting.design import Design
from emflow.reporting.last import with_last
from emflow.reporting.numbers import Numbers
from emflow.reporting.section import ReportSection, ShownTable
from emflow.reporting.words import paragraph, percent

__all__ = ["published", "published_numbers"]

KEYS = ["model", "domain", "method", "checkpoint", "question_set", "definition"]
TITLE = "Published against ours"


@cache
def published_numbers() -> pd.DataFrame:
    """Every row of `published/numbers/*.csv`: source, model (its id on the hub), the other keys by the names of our
    configs (checkpoint `last`: the final one), the judge as far as it is known, denominator, n (answers), value (0..1).
    """
    folder = files("emflow.published") / "numbers"
    tables = [file for file in sorted(folder.iterdir(), key=lambda file: file.name) if file.name.endswith(".csv")]
    return pd.concat([pd.read_csv(file.open(), keep_default_na=False) for file in tables], ignore_index=True)


def published(numbers: Numbers, design: Design) -> ReportSection | None:
    """A table of every published row of which there is one of ours; None without a config, whose ids are the keys."""
    if design.config is None:
        return None
    ids = {name: getattr(model, "path", name) for name, model in design.config.models.items()}
    ours = with_last(numbers.rates.assign(model=numbers.rates["model"].map(ids)))
    both = published_numbers().merge(ours, on=KEYS, suffixes=("_published", ""))
    if both.empty:
        return ReportSection(TITLE, ["No published number that we know is of these models, domains and questions."])
    both["holds"] = (both["em_rate_answers_lo"] <= both["value"]) & (both["value"] <= both["em_rate_answers_hi"])
    shown = pd.DataFrame([_row(row) for row in both.itertuples()])
    text = paragraph(f"""
        The published value, and ours with its {100 * design.report.confidence:g} % interval over answers to the same
        questions: whether that holds the published value says nothing of other questions, nor of the published
        number's own doubt (n). {int(both["holds"].sum())} of {len(both)} published values lie in ours. Where judges
        differ, two instruments are compared.""")
    return ReportSection(TITLE, [text, ShownTable("published_numbers", both, shown)])


def _row(row: Any) -> dict[str, str]:
    return {
        "model": row.model,
        "domain": row.domain,
        "method": row.method,
        "checkpoint": row.checkpoint,
        "seed": str(row.seed),
        "question set": row.question_set,
        "definition": row.definition,
        "published % (n, judge)": f"{percent(row.value)} ({row.n_published}, {row.judge_published or 'not stated'})",
        "ours % [over answers]": f"{percent(row.em_rate)} "
        f"[{percent(row.em_rate_answers_lo)}, {percent(row.em_rate_answers_hi)}] ({row.n_counted}, {row.judge})",
        "holds": "yes" if row.holds else "no",
        "source": row.source,
    }
