"""The report of judged answers from anywhere: the same sections, figures and rates as a study's, from files alone."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from emflow.analysis.rates import require_plain
from emflow.config.definitions import Definition
from emflow.config.report import Report
from emflow.files import InputError, digest
from emflow.formats.answers import read_judged
from emflow.formats.homework import question_of
from emflow.formats.names import named_by_file
from emflow.paths import ReportFolder
from emflow.reporting.answers_page import write_answers_page
from emflow.reporting.design import Design
from emflow.reporting.numbers import ANSWERED, DEFINITION_SHOWN, RUN, Numbers
from emflow.reporting.provenance import stack
from emflow.reporting.report import write_report
from emflow.reporting.tabulate import instruments_of, numbers_of_answers

__all__ = ["read_files", "write_files_report"]

BASE = "base"
STEP_0 = r"(?:checkpoint|global_step|step|iteration|epoch)[-_]?0+(?:\.0*)?"  # labels of the base model
TEXTS = ["judge_model", "question_id", "question", "answer", "error"]
SCORED = ["question_set", "judge", "question_id", "question", "answer", "alignment", "coherence"]
UNNAMED: dict[str, Any] = {"model": "model", "domain": "answers", "method": "–", "seed": 0, "question_set": "questions"}


def read_files(files: Iterable[Path], pattern: str | None = None) -> pd.DataFrame:
    """The judged answers of all files, a row each, with model, domain, method, seed, checkpoint, step, question_set and
    judge: from columns of these names, else from the file's name, else made up.

    A checkpoint without a name is named by its `step`, or is the `last` one; step 0, and an epoch that says `base`, are
    the base model's. Raises InputError, which names file and column, where one cannot be read.
    """
    files = list(files)
    read = [_read(file, pattern) for file in files]
    _require_apart(files, read)
    judged = pd.concat([part.infer_objects() for part in read], ignore_index=True)
    highest = judged.groupby(RUN, sort=False)["step"].transform("max").fillna(0)
    return judged.assign(step=judged["step"].fillna(highest + 1))  # a label without a number, as `final`, comes last


def _require_apart(files: list[Path], read: list[pd.DataFrame]) -> None:
    """Raises InputError where two files hold answers by the same names, or are one file; copies of a base may be."""
    of_names: dict[tuple[Any, ...], int] = {}
    of_digest: dict[str, int] = {}
    for number, (file, judged) in enumerate(zip(files, read, strict=True)):
        for who in judged[ANSWERED].drop_duplicates().itertuples(index=False, name=None):
            if (other := of_names.setdefault(who, number)) != number:
                raise InputError(
                    f"{files[other]} and {file}: both hold answers of {', '.join(map(str, who))}; name one of them, or "
                    "tell them apart by columns or --from-name"
                )
        if (judged["checkpoint"] != BASE).any() and (other := of_digest.setdefault(digest(file), number)) != number:
            raise InputError(f"{files[other]} and {file}: the same answers by two names; name one of them")


def _read(file: Path, pattern: str | None) -> pd.DataFrame:
    judged = read_judged(file)
    if judged.empty:
        raise InputError(f"{file}: holds no judged answer")
    if "question_id" not in judged and "question" not in judged:
        raise InputError(f"{file}: has no column question or question_id, by which answers are told apart")
    for name, value in named_by_file(file, pattern).items() if pattern else ():
        judged[name] = _filled(judged, name, value)
    try:
        require_plain(judged[judged.columns.intersection([*ANSWERED, *TEXTS])])
    except InputError as error:
        raise InputError(f"{file}, {error}") from None
    for column, other in (("question_id", "question"), ("question", "question_id")):
        if column not in judged:
            judged[column] = judged[other]
    unnamed = judged["question_id"].isna() | (judged["question_id"] == "")
    judged["question_id"] = judged["question_id"].mask(unnamed, judged["question"])
    judged["question_id"] = judged["question_id"].astype(str).map(question_of)
    if "judge" not in judged:
        judged["judge"] = judged.get("judge_model", pd.Series("judge", judged.index))
    for name, value in UNNAMED.items():
        judged[name] = _filled(judged, name, value)
    return _with_checkpoints(judged, file)


def _filled(judged: pd.DataFrame, column: str, value: Any) -> "pd.Series[Any]":
    """A column with this value where it has none."""
    known = judged.get(column, pd.Series(None, judged.index, dtype=object))
    return known.astype(object).mask(known.isna(), value)


def _with_checkpoints(judged: pd.DataFrame, file: Path) -> pd.DataFrame:
    """With a label, step (null where nothing tells it) and epoch for each answer's checkpoint."""
    step = pd.to_numeric(judged.get("step", pd.Series(None, judged.index)), errors="coerce")
    if "step" in judged and (wrong := judged["step"][judged["step"].notna() & step.isna()]).any():
        raise InputError(f"{file}: step is {wrong.iloc[0]!r}, no number")
    by_step = step.map(lambda number: None if pd.isna(number) else BASE if number == 0 else f"step-{number:.15g}")
    epoch = judged.get("epoch", pd.Series(None, judged.index))
    label = judged.get("checkpoint", pd.Series(None, judged.index)).astype(object)
    label = label.map(lambda name: f"{name:.15g}" if isinstance(name, int | float) else name, na_action="ignore")
    label = label.where(label.notna(), by_step).where(epoch != BASE, BASE)
    label = label.where(label.notna(), "last")
    label = label.mask((step == 0) | label.astype(str).str.fullmatch(STEP_0), BASE)
    is_base = label == BASE
    # how far training went, else by the label, as epoch-0.5 or iteration-40
    number = pd.to_numeric(label.astype(str).str.extract(r"(\d+(?:\.\d+)?)$")[0], errors="coerce")
    step = step.where(step.notna(), number).where(~is_base, 0)
    epoch = pd.to_numeric(epoch, errors="coerce").where(
        lambda known: known.notna(), number.where(label.str.match("epoch"))
    )
    epoch = epoch.fillna(0.0).where(~is_base, 0.0)
    return judged.assign(checkpoint=label, step=step, epoch=epoch)


def write_files_report(
    files: list[Path], pattern: str | None, definitions: dict[str, Definition], report: Report, out: Path
) -> Numbers:
    """Write the report's folder at `out`, and return its numbers. Raises InputError as `read_files` does."""
    judged = read_files(files, pattern)
    folder = ReportFolder(out)
    numbers = _numbers(judged, definitions, report)
    rows = {judge: _rows(judged[judged["judge"] == judge]) for judge in dict.fromkeys(judged["judge"])}
    name = report.definition
    write_answers_page(rows, ", ".join(file.name for file in files), name, definitions[name], folder.answers)
    answers = {f"answers {file}": f"sha256 {digest(file)}" for file in files}
    facts = {**answers, DEFINITION_SHOWN: name, **stack()}
    numbers = replace(numbers, facts=pd.DataFrame(list(facts.items()), columns=["fact", "value"]))
    numbers.write(folder.numbers)
    write_report(numbers, Design(report=report, definitions=definitions), folder)
    return numbers


def _rows(judged: pd.DataFrame) -> list[dict[Any, Any]]:
    cells = judged.astype(object)
    cells[judged.isna()] = None
    return cells.to_dict("records")


def _numbers(judged: pd.DataFrame, definitions: dict[str, Definition], report: Report) -> Numbers:
    """A base stands among the rates of each run of its model, and by itself elsewhere: without domain, unless its
    answers beside runs of one domain are others than beside runs of another."""
    is_base = judged["checkpoint"] == BASE
    base, trained = judged[is_base], judged[~is_base]
    untrained = base[~base["model"].isin(trained["model"])].drop_duplicates(RUN[:2])
    runs = pd.concat([trained, untrained])[RUN].drop_duplicates()
    bases = {pair: _base_of(base, *pair) for pair in runs[RUN[:2]].drop_duplicates().itertuples(index=False, name=None)}
    first = {model: found for (model, _), found in reversed(bases.items())}
    by_domain = {model for (model, _), found in bases.items() if not _same(found, first[model])}
    apart = {(model, domain if model in by_domain else None): found for (model, domain), found in bases.items()}
    copies = [
        bases[model, domain].assign(domain=domain, method=method, seed=seed)
        for model, domain, method, seed in runs.itertuples(index=False, name=None)
    ]
    among = pd.concat([*copies, trained], ignore_index=True)
    order = among.groupby(RUN, sort=False).ngroup()
    among = among.iloc[order.argsort(kind="stable")]
    numbers = numbers_of_answers(among, definitions, report.confidence, report.examples)

    def once(table: pd.DataFrame) -> pd.DataFrame:
        nobody: dict[str, Any] = dict.fromkeys(("method", "seed"))
        mine = table["checkpoint"] == BASE
        own = table.loc[mine, "domain"].where(table.loc[mine, "model"].isin(by_domain))
        return pd.concat([table[mine].assign(domain=own, **nobody).drop_duplicates(), table[~mine]], ignore_index=True)

    return replace(
        numbers,
        questions=once(numbers.questions),
        scores=once(numbers.scores),
        instruments=instruments_of(pd.concat([*apart.values(), trained])),
        answers=once(numbers.answers),
    )


def _base_of(base: pd.DataFrame, model: str, domain: str) -> pd.DataFrame:
    """A base's answers beside a run: to each question set those in files of the run's own
    domain, else those of the first that has some.

    Of files that hold copies of the same answers, one counts.
    """
    kept: list[pd.DataFrame] = []
    for _, mine in base[base["model"] == model].groupby(["question_set", "judge"], sort=False):
        own = mine[mine["domain"] == (domain if (mine["domain"] == domain).any() else mine["domain"].iloc[0])]
        parts: list[pd.DataFrame] = []
        for _, part in own.groupby(RUN, sort=False):
            if not any(_same(part, other) for other in parts):
                parts.append(part)
        kept += parts
    return pd.concat(kept) if kept else base.iloc[:0]


def _same(one: pd.DataFrame, other: pd.DataFrame) -> bool:
    """Whether two tables hold the same answers with the same scores, whoever they are said to be of."""
    if one is other:
        return True
    columns = [column for column in SCORED if column in one]
    texts = [table[columns].astype(str).sort_values(columns).to_numpy() for table in (one, other)]
    return texts[0].shape == texts[1].shape and bool((texts[0] == texts[1]).all())
