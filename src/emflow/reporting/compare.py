"""Two result folders side by side: what differs in their configs, and in the rates of what both have."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from emflow.analysis.intervals import RateDifference, difference, holm
from emflow.config.definitions import nearest_definition
from emflow.config.report import Report
from emflow.files import InputError
from emflow.paths import ReportFolder, Results
from emflow.reporting.last import Counts
from emflow.reporting.numbers import DEFINITION_SHOWN, Numbers
from emflow.reporting.words import cell, p_value, percent, points

__all__ = ["Comparison", "compare"]

ROW = ["model", "domain", "method", "seed", "checkpoint", "question_set", "judge"]
NAMES = [key for key in ROW if key != "seed"]
NOBODY = "–"  # where there is no such key or name


class Comparison(NamedTuple):
    """`config`: columns key, A, B, of keys that differ. `rates`, of rows that differ: ROW, for each side misaligned and
    counted answers and EM rate (0..1), and the difference B minus A with its interval and p-values."""

    config: pd.DataFrame
    rates: pd.DataFrame
    notes: list[str]
    """What else is to be said, a line each."""

    def tables(self) -> Iterator[tuple[str, pd.DataFrame]]:
        """Titles, and what is shown below them as texts."""
        if not self.config.empty:
            yield "Config", self.config
        if not self.rates.empty:
            named = [key for key in ROW if self.rates[key].nunique(dropna=False) > 1] or ["checkpoint"]
            yield "EM rates", self.rates[named].astype(object).fillna(NOBODY).astype(str).assign(**self._shown())

    def _shown(self) -> dict[str, list[str]]:
        rows: Any = list(self.rates.itertuples())
        sides = {
            side: [f"{percent(getattr(row, f'em_rate_{side}'))} ({getattr(row, f'n_misaligned_{side}')}"
                   f"/{getattr(row, f'n_counted_{side}')})" for row in rows] for side in "AB"
        }  # fmt: skip
        return {
            "A %": sides["A"],
            "B %": sides["B"],
            "B - A, points": [points(row) for row in rows],
            "p (Holm)": [p_value(row.p_holm) for row in rows],
        }

    def markdown(self) -> str:
        """The comparison as a page."""
        parts = ["\n".join(f"- {note}" for note in self.notes)]
        for title, table in self.tables():
            cells = table.map(cell).to_markdown(index=False, disable_numparse=True)
            parts.append(f"## {title}\n\n{cells}")
        return "# Comparison\n\n" + "\n\n".join(parts) + "\n"


class _Side(NamedTuple):
    folder: ReportFolder
    rates: pd.DataFrame
    questions: pd.DataFrame | None
    config: dict[str, Any] | None
    definition: str | None
    """What a report of files shows; a study's says its config."""


def compare(a: Path, b: Path, definition: str | None = None) -> Comparison:
    """Compare what two folders hold: a study's results or its report, or a report of `emflow report`.

    Rates are those under one definition: the named one, else that of B's headline. Differences are paired by question,
    with intervals where both folders hold counts per question. Raises InputError where there is no report, or not the
    definition.
    """
    sides = _side(a), _side(b)
    report = Report(**{key: value for key, value in ((sides[1].config or {}).get("report") or {}).items()
                       if key in ("definition", "confidence")})  # fmt: skip
    name = definition or sides[1].definition or report.definition
    known = [set(side.rates["definition"]) for side in sides]
    if not all(name in names for names in known):
        both = dict.fromkeys(sorted(known[0] & known[1]))
        mend = nearest_definition(name, both) if both else "they have none in common"  # type: ignore[arg-type]
        raise InputError(f"{a} and {b}: no rates under the definition '{name}' in both; {mend}")
    rates, notes = _rates(*sides, name, report.confidence)
    config = pd.DataFrame(columns=["key", "A", "B"])
    if sides[0].config is None or sides[1].config is None:
        notes.append("no config to compare: one of the two is no study's report")
    else:
        config = _changed(sides[0].config, sides[1].config)
        notes.append(f"{len(config)} keys of the config differ")
    return Comparison(config, rates, [f"A is {a}, B is {b}; the {name} definition", *notes])


def _side(path: Path) -> _Side:
    folder = next((f for f in (ReportFolder(path), Results(path).report) if f.rates.is_file()), None)
    if folder is None:
        raise InputError(
            f"{path}: holds no report; name a folder with {ReportFolder(path).rates.name}, or the one above"
        )
    rates = pd.read_csv(folder.rates, keep_default_na=False, na_values=[""], dtype=dict.fromkeys(NAMES, "str"))
    if missing := {*ROW, "definition", "em_rate", "n_misaligned", "n_counted"} - set(rates):
        raise InputError(f"{folder.rates}: has no column {min(missing)}; make it again with this version")
    numbers = Numbers.read(folder.numbers) if folder.numbers.is_file() else None
    config = None
    if folder.provenance.is_file():
        try:
            config = json.loads(folder.provenance.read_text(encoding="utf-8"))["config"]
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{folder.provenance} is damaged ({error}): make the report again") from None
    facts = {} if numbers is None else dict(zip(numbers.facts["fact"], numbers.facts["value"], strict=True))
    return _Side(folder, rates, None if numbers is None else numbers.questions, config, facts.get(DEFINITION_SHOWN))


def _changed(a: dict[str, Any], b: dict[str, Any]) -> pd.DataFrame:
    """Keys that one of two configs lacks or that differ, in B's order."""
    first, second = dict(_flat(a)), dict(_flat(b))
    keys = [key for key in {**second, **first} if first.get(key, NOBODY) != second.get(key, NOBODY)]
    rows = [{"key": key, "A": first.get(key, NOBODY), "B": second.get(key, NOBODY)} for key in keys]
    return pd.DataFrame(rows, columns=["key", "A", "B"])


def _flat(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Each value by its path; lists are values."""
    if isinstance(value, dict) and value:
        for name, part in value.items():
            yield from _flat(part, f"{key}.{name}" if key else str(name))
    else:
        yield key, json.dumps(value, ensure_ascii=False)


def _rates(a: _Side, b: _Side, definition: str, confidence: float) -> tuple[pd.DataFrame, list[str]]:
    """`Comparison.rates`, and what to say of the others."""
    measured = ["n_misaligned", "n_counted", "em_rate"]
    shown = [side.rates[side.rates["definition"] == definition][ROW + measured] for side in (a, b)]
    shown = [rates.astype({"seed": object}) for rates in shown]  # files may bring texts
    joined = shown[0].merge(shown[1], on=ROW, how="outer", suffixes=("_A", "_B"), indicator=True)
    both = joined[joined["_merge"] == "both"].drop(columns="_merge")
    counts = [f"{side}_{end}" for side in ("n_misaligned", "n_counted") for end in "AB"]
    both[counts] = both[counts].astype("int64")
    per_question = [Counts(side.questions, definition) for side in (b, a) if side.questions is not None]
    both = _bases_once(both, per_question, counts)
    same = (both["n_misaligned_A"] == both["n_misaligned_B"]) & (both["n_counted_A"] == both["n_counted_B"])
    others: Any = both[~same].itertuples(index=False)
    rows = [{**row._asdict(), **_gap(row, per_question, confidence)._asdict()} for row in others]
    changed = pd.DataFrame(rows, columns=[*both.columns, *RateDifference._fields])
    only = [int((joined["_merge"] == f"{which}_only").sum()) for which in ("left", "right")]
    notes = [f"{len(both)} rates are in both: {int(same.sum())} with the same counts, {len(changed)} with others"]
    notes += [f"{count} rates are in {side} alone" for side, count in zip("AB", only, strict=True) if count]
    if not changed.empty and (a.questions is None or b.questions is None):
        notes.append("no intervals: one of the two holds no counts per question")
    elif not changed.empty:
        notes.append(f"brackets are {100 * confidence:g} % intervals over questions, paired by question; p-values are "
                     f"corrected for {len(changed)} comparisons (Holm)")  # fmt: skip
    return changed.assign(p_holm=holm(changed["p"].to_numpy())), notes


def _bases_once(rows: pd.DataFrame, per_question: list[Counts], counts: list[str]) -> pd.DataFrame:
    """Of a base's rows, which stand beside each of its runs, one for each set of answers; without counts per question
    these are told apart by what was counted."""
    base = rows[rows["checkpoint"] == "base"]
    answers = [
        (row.model, row.question_set, row.judge,
         *([side.whose(row) for side in per_question] or [getattr(row, count) for count in counts]))
        for row in base.itertuples()
    ]  # fmt: skip
    return rows.drop(base.index[pd.Series(answers, base.index, dtype=object).duplicated()])


def _gap(row: Any, counts: list[Counts], confidence: float) -> RateDifference:
    """B minus A, with an interval where both hold counts per question."""
    if len(counts) < 2:
        return RateDifference(row.em_rate_B - row.em_rate_A, *(float("nan"),) * 3)
    sides = [pd.DataFrame(found, index=names) for names, (found,) in (side.of(row) for side in counts)]
    ids = sides[0].index.union(sides[1].index)
    first, second = (side.reindex(ids, fill_value=0).to_numpy() for side in sides)
    return difference(first, second, confidence)
