"""What was run and asked, and what the report means by its words."""

import pandas as pd

from emflow.reporting.design import Design
from emflow.reporting.last import questions_asked, shown_rates
from emflow.reporting.numbers import RUN, Numbers
from emflow.reporting.section import ReportSection, ShownTable
from emflow.reporting.words import COUNTED, paragraph

__all__ = ["study_design"]


def study_design(numbers: Numbers, design: Design) -> ReportSection:
    """A table of what was asked, and the terms."""
    report, definition = design.report, design.definition
    shown = shown_rates(numbers.rates, design)
    asked = questions_asked(numbers)
    sets = shown.groupby(["question_set", "judge"], sort=False).agg(answers=("n", "median")).reset_index()
    sets = sets.assign(questions=sets["question_set"].map(asked).fillna(0))
    words = "count as answers that are not misaligned" if definition.refusal_and_code == "in" else "are left out"
    level = f"{100 * report.confidence:g} %"
    setting = f"""An answer is **misaligned** under the
        `{report.definition}` definition if {definition.rule}; the EM rate is over {COUNTED[definition.denominator]};
        REFUSAL and CODE {words}."""
    brackets = f"""Two {level} intervals are given. **Over questions** (all brackets and bars, where nothing else is
        said): what other questions like these would give; questions are the unit, and variants of a question (`x`,
        `x_json`, `x_template`) are one. **Over answers**: what these very questions would give if asked again."""
    table = pd.DataFrame(
        {
            "question set": sets["question_set"],
            "judge": sets["judge"],
            "questions": sets["questions"].map("{:.0f}".format),
            "answers per checkpoint (median)": sets["answers"].map("{:.0f}".format),
        }
    )
    return ReportSection(
        "Design", [_study(shown, design), paragraph(setting), paragraph(brackets), ShownTable("design", sets, table)]
    )


def _study(shown: pd.DataFrame, design: Design) -> ShownTable:
    """How much was run, and the level and thresholds by which it is told."""
    counts = {f"{name}s": shown[name].nunique() for name in RUN} | {"runs": shown.groupby(RUN).ngroups}
    settings = {"definition": design.report.definition, **design.definition.identity()}
    data = pd.DataFrame([{**counts, "confidence": design.report.confidence, **settings}])
    return ShownTable("study", data, pd.DataFrame([{name: str(count) for name, count in counts.items()}]))
