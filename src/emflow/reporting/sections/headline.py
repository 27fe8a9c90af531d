"""What the numbers say, in a paragraph: what spreads most and by how much, and what could not be told apart."""

from typing import Any

import pandas as pd

from emflow.reporting.design import Design
from emflow.reporting.last import differences, last_and_base, questions_asked, trained_rows
from emflow.reporting.numbers import Numbers
from emflow.reporting.section import ReportSection, ShownTable
from emflow.reporting.sections.interventions import taken_away
from emflow.reporting.sections.matched import matched_methods
from emflow.reporting.style import words
from emflow.reporting.words import COUNTED, p_value, percent, points, rate_cell, run_name

__all__ = ["headline"]

WIDE = 0.4  # an interval of more than 40 points says next to nothing
FEW = 5  # questions
MOST = 6  # sentences on pairs of methods


def headline(numbers: Numbers, design: Design) -> ReportSection:
    """A paragraph per question set that is not the runs' own domain (or, without one, per set), and a small table."""
    last = last_and_base(numbers.rates, design)
    gaps = differences(numbers, design)
    sets = [name for name in last["question_set"].unique() if name not in design.held_out]
    sets = sets or list(last["question_set"].unique())
    parts = []
    for (question_set, judge), rows in last[last["question_set"].isin(sets)].groupby(
        ["question_set", "judge"], sort=False
    ):
        own = gaps[(gaps["question_set"] == question_set) & (gaps["judge"] == judge)]
        own = own[~own["domain"].map(design.is_control).astype(bool)]
        lines = [
            _opening(str(question_set), str(judge), design),
            *_sentences(rows, own, numbers, design, int(gaps["p"].notna().sum())),
        ]
        parts.append(" ".join(lines))
    if not parts:
        return ReportSection("Headline", ["There is no rate to report: nothing was counted."])
    parts += _at_matched_learning(numbers, design)
    parts += _without_directions(numbers, design)
    last = last.sort_values(["question_set", "judge"], kind="stable")
    shown = pd.DataFrame([_row(row) for row in last.itertuples()])
    return ReportSection("Headline", [*parts, ShownTable("headline", last, shown)])


def _opening(question_set: str, judge: str, design: Design) -> str:
    counted = COUNTED[design.definition.denominator]
    return f"On {words(question_set)} ({design.report.definition} definition, judge {judge}; rates are over {counted}):"


def _sentences(rows: pd.DataFrame, gaps: pd.DataFrame, numbers: Numbers, design: Design, compared: int) -> list[str]:
    """The sentences on one question set; `compared` is how many comparisons the p-values allow for."""
    trained = trained_rows(rows)
    known = trained.dropna(subset=["em_rate"])
    if trained.empty and rows["em_rate"].notna().any():
        named = [f"{row.name}: EM rate {_rate(row)}" for row in rows.dropna(subset=["em_rate"]).itertuples()]
        return [f"no run was measured, base models alone; {', '.join(named)}."]
    if known.empty:
        return ["no answer could be counted, so there is no rate."]
    lost = len(trained) - len(known)
    lines = [f"{lost} of {len(trained)} runs have no counted answer."] if lost else []
    if few := _too_little(known, numbers):
        lines.append(few)
    known_gaps = gaps.dropna(subset=["difference", "p_holm"])
    if known_gaps.empty:
        row = next(known.itertuples())
        many = f"{_first('one', lines)} run was measured" if len(known) == 1 else f"{len(known)} runs were measured"
        return [*lines, f"{many}, with nothing to compare with; {row.name}: EM rate {_rate(row)}."]
    doubt = 1 - design.report.confidence
    apart = known_gaps[known_gaps["p_holm"] < doubt]
    rest = known_gaps[known_gaps["p_holm"] >= doubt]
    wider = apart[apart["difference"] > 0]
    if wider.empty:
        none = _first("no", lines)
        lines.append(f"{none} run spreads further than its control or base, as far as these data can tell.")
    else:
        most: Any = next(wider.sort_values("difference", ascending=False).itertuples())
        lines.append(
            f"{run_name(most)} spreads most: EM rate {percent(most.em_rate)} %, {points(most)} points over "
            f"{_reference(most)} (p {_p(most.p_holm)}, corrected for {compared} "
            f"{_plural(compared, 'comparison')})."
        )
    others = len(apart) - (not wider.empty)
    if others:
        differ = "1 other run differs" if others == 1 else f"{others} other runs differ"
        lines.append(f"{differ} from control or base.")
    if not rest.empty:
        named = [f"{run_name(row)} ({points(row)})" for row in rest.head(3).itertuples()]
        more = f" and {len(rest) - 3} more" if len(rest) > 3 else ""
        lines.append(f"Could not be told apart from control or base: {', '.join(named)}{more}.")
    return lines


def _first(word: str, lines: list[str]) -> str:
    """The first word of another sentence; the one after the opening's colon begins small."""
    return word.capitalize() if lines else word


def _too_little(known: pd.DataFrame, numbers: Numbers) -> str:
    """A sentence where intervals say next to nothing."""
    widths = known["em_rate_hi"] - known["em_rate_lo"]
    asked = questions_asked(numbers)
    questions = int(asked.get(known["question_set"].iloc[0], 0))
    if widths.isna().all():
        return "Too little data: one question gives no interval over questions."
    widest: Any = next(known.loc[[widths.idxmax()]].itertuples())
    if questions < FEW or widths.max() > WIDE:
        wide = f"[{percent(widest.em_rate_lo)}, {percent(widest.em_rate_hi)}] %"
        return f"Too little data to say much: {questions} questions, and intervals over questions as wide as {wide}."
    return ""


def _at_matched_learning(numbers: Numbers, design: Design) -> list[str]:
    """A sentence per pair of methods, those that differ first; of many, the first ones and how many there are."""
    rows, alike, apart = matched_methods(numbers, design).dropna(subset=["p_holm"]), list[str](), list[str]()
    for (model, domain, one, other, _, name), pair in rows.groupby(
        ["model", "domain", "method", "other", "in_domain", "question_set"], sort=False
    ):
        doubt = 1 - design.report.confidence
        differ = pair[pair["p_holm"] < doubt]
        where = f"On {words(str(name))}, {model} trained on {words(str(domain))}"
        if differ.empty:
            largest = _largest(pair)
            alike.append(
                f"{where}: {one} and {other} could not be told apart at equal in-domain EM ({len(pair)} "
                f"{_plural(len(pair), 'comparison')}; the largest difference is {points(largest)} points)."
            )
        else:
            signs = [differ[differ["difference"] > 0], differ[differ["difference"] < 0]]
            largest_of = [_largest(rows_of) for rows_of in signs if len(rows_of)]
            told = ", ".join(f"{points(row)} points at {percent(row.level, 0)} % in domain" for row in largest_of)
            more, less = (one, other) if len(signs[0]) else (other, one)
            verdict = (
                f"it depends on how far they went whether {one} or {other} spreads further"
                if len(largest_of) > 1
                else f"{more} spreads further than {less}"
            )
            apart.append(
                f"{where}: at equal in-domain EM {verdict} ({one} minus {other} {told}; "
                f"{len(differ)} of {len(pair)} comparisons differ)."
            )
    lines = [*apart, *alike]
    if len(lines) > MOST:
        lines[MOST:] = [f"Of {len(lines)} such pairs {len(apart)} differ; the table of matched learning has all."]
    return lines


def _without_directions(numbers: Numbers, design: Design) -> list[str]:
    """A sentence per run whose own direction was ablated; of many, the first ones and how many there are."""
    lines = taken_away(numbers, design)
    if len(lines) > MOST:
        lines[MOST:] = [f"{len(lines) - MOST} more such runs stand in the table of interventions."]
    return lines


def _largest(pair: pd.DataFrame) -> Any:
    return next(pair.loc[[pair["difference"].abs().idxmax()]].itertuples())


def _row(row: Any) -> dict[str, str]:
    return {
        "question set": row.question_set,
        "judge": row.judge,
        "run": row.name,
        "EM rate % [over questions]": rate_cell(row),
        "misaligned / counted": f"{row.n_misaligned} / {row.n_counted}",
    }


def _rate(row: Any) -> str:
    return f"{rate_cell(row)} % ({row.n_misaligned} of {row.n_counted})"


def _reference(row: Any) -> str:
    return "its base" if row.reference == "base" else f"its control {row.reference}"


def _p(value: float) -> str:
    shown = p_value(value)
    return shown if shown.startswith("<") else f"= {shown}"


def _plural(count: int, word: str) -> str:
    return word if count == 1 else f"{word}s"
