"""From judged answers to the tidy tables of the report, each file read once."""

import io
from collections.abc import Iterable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pandas as pd

from emflow.analysis.agreement import agreements
from emflow.analysis.rates import classify, rates_of_answers
from emflow.config.definitions import Definition
from emflow.config.interventions import tables_of_directions
from emflow.config.load import Config
from emflow.config.models import Model
from emflow.files import digest, read_jsonl, read_sealed
from emflow.models.commit import commit_of
from emflow.paths import Answerer, Results
from emflow.reporting.jobs import jobs_of
from emflow.reporting.numbers import ANSWERED, Numbers, read_rows
from emflow.reporting.provenance import finished_jobs, requests_of_judges, stack
from emflow.reporting.side_by_side import candidates, side_by_side

__all__ = ["instruments_of", "judged_files", "numbers_of_answers", "numbers_of_study", "tables_of_agreement"]

UNNAMED: dict[str, Any] = {"model": "model", "domain": "answers", "method": "–", "seed": 0, "checkpoint": "last",
                           "step": 0, "epoch": 0.0, "question_set": "questions", "judge": "judge"}  # fmt: skip
CALLS = ["judged", "scored", "coherent", "counted", "misaligned"]
NOTHING = Numbers(pd.DataFrame())
JUDGED = [*ANSWERED, "question_id", "question", "answer", "alignment", "coherence", "error", "prompts"]
BATCH = 50_000  # answers


def numbers_of_answers(
    judged: pd.DataFrame, definitions: dict[str, Definition], confidence: float, examples: int = 3
) -> Numbers:
    """Of judged answers from anywhere, as `rates_of_answers` takes them; raises InputError as it does.

    A name that the answers lack is filled in: without a checkpoint they are of the `last` one. `examples` questions of
    each set are kept to be shown, with answers as the first judge scored them.
    """
    judged = judged.reset_index(drop=True)
    judged = judged.assign(**{key: value for key, value in UNNAMED.items() if key not in judged})
    judged = judged.fillna({key: value for key, value in UNNAMED.items()})
    for column, other in (("question_id", "question"), ("question", "question_id")):
        if column not in judged and other in judged:
            judged[column] = judged[other]
    rates = rates_of_answers(judged, definitions, confidence)
    judged = judged.assign(**{column: None for column in ("coherence", "error") if column not in judged})
    shown = judged.assign(answer=judged.get("answer", ""))[judged["judge"] == judged["judge"].iloc[0]]
    return Numbers(
        rates=rates,
        questions=_questions(judged, definitions),
        scores=_scores(judged),
        instruments=instruments_of(judged),
        answers=side_by_side(candidates(shown), examples),
    )


def numbers_of_study(config: Config, results: Results) -> Numbers:
    """Of a study's results: its judgements, rates, training logs and benchmarks."""
    runs = config.expansion.runs
    questions, scores, instruments, shown = [], [], [], list[pd.DataFrame]()
    names: dict[tuple[str, str, int], str] = {}
    for judged in _batches(config, results):
        questions.append(_questions(_by_prompt(judged, config, names), config.definitions))
        scores.append(_scores(judged))
        instruments.append(instruments_of(judged))
        shown.append(candidates(judged[_may_be_shown(judged, config)]))
    logs = [pd.DataFrame(read_jsonl(results.run(run).train_log)).assign(**run._asdict()) for run in runs]
    jobs = finished_jobs(results)
    agreement, pairs = tables_of_agreement(config, results)
    return Numbers(
        rates=_concat(_sealed(results.run(run).rates) for run in runs),
        questions=_concat(questions, NOTHING.questions),
        scores=_concat(scores, NOTHING.scores),
        instruments=_of_all(_concat(instruments, NOTHING.instruments)),
        answers=side_by_side(_concat(shown, NOTHING.answers), config.report.examples),
        agreement=agreement,
        pairs=pairs,
        logs=_concat(logs),
        **{
            name: _sealed(getattr(results.report, name))
            for name in tables_of_directions(config.directions, config.expansion)
        },
        trajectory=_sealed(results.report.trajectory) if config.transition else NOTHING.trajectory,
        scaled_rates=_sealed(results.report.scaled_rates) if config.transition else NOTHING.scaled_rates,
        jobs=jobs[jobs["job"].isin(jobs_of(config, results))].drop(columns="machine"),
        requests=requests_of_judges(config, results),
        facts=pd.DataFrame(_facts(config, results).items(), columns=["fact", "value"]),
    )


def _sealed(path: Path) -> pd.DataFrame:
    return read_rows(io.BytesIO(read_sealed(path)))


def _concat(tables: Iterable[pd.DataFrame], empty: pd.DataFrame | None = None) -> pd.DataFrame:
    """One table of all that have rows; `empty` where none has."""
    found = [table for table in tables if not table.empty]
    return pd.concat(found, ignore_index=True) if found or empty is None else empty


def judged_files(config: Config, results: Results) -> Iterator[tuple[dict[str, Any], Path]]:
    """Every file of judged answers once, with the judge's name, which the rows do not hold."""
    seen = set()
    for run, evaluations in config.expansion.evaluations.items():
        for question_set, judge in evaluations:
            base, own = _answerers(config, results, run, question_set)
            for answerer, name in (base, own):
                file = answerer.judgements(name, judge)
                if file not in seen:
                    seen.add(file)
                    yield {"judge": judge}, file


def _batches(config: Config, results: Results) -> Iterator[pd.DataFrame]:
    """All judged answers, with their judge's name, of several whole files at a time: a table costs by its number."""
    columns: dict[str, list[Any]] = {name: [] for name in JUDGED}
    for names, file in judged_files(config, results):
        rows = read_jsonl(file)
        for name, column in columns.items():
            column += [names.get(name) or row.get(name) for row in rows]
        if len(columns["judge"]) >= BATCH:
            yield pd.DataFrame(columns)
            columns = {name: [] for name in JUDGED}
    if columns["judge"]:
        yield pd.DataFrame(columns)


def _answerers(config: Config, results: Results, run: Any, question_set: str) -> list[tuple[Answerer, str]]:
    """A run's base and the run, each with the name that the question set has in its paths."""
    name = config.question_sets[question_set].name_for(question_set, run.domain)
    return [(results.base(run.model), name), (results.run(run).answerer, question_set)]


def _by_prompt(judged: pd.DataFrame, config: Config, names: dict[tuple[str, str, int], str]) -> pd.DataFrame:
    """With one question_id for a held-out prompt that several domains have, as a bad one and its control do, so that
    they are paired: the id of the first, kept in `names` by question set, text, and how often the domain had it."""
    held_out = judged["question_set"].map(lambda name: config.question_sets[name].is_held_out)
    asked = judged.loc[held_out, ["question_set", "domain", "question_id", "question"]].drop_duplicates()
    if asked.empty:
        return judged
    again = asked.groupby(["question_set", "domain", "question"], dropna=False).cumcount()
    keys = zip(asked["question_set"], asked["question"], again, strict=True)
    first = {id: names.setdefault(key, id) for key, id in zip(keys, asked["question_id"], strict=True)}
    return judged.assign(question_id=judged["question_id"].where(~held_out, judged["question_id"].map(first)))


def _questions(judged: pd.DataFrame, definitions: dict[str, Definition]) -> pd.DataFrame:
    """`Numbers.questions`."""
    number = judged.groupby([*ANSWERED, "question_id"], sort=False, dropna=False).ngroup()
    first = ~number.duplicated()
    names = judged.loc[first, [*ANSWERED, "question_id"]].set_index(number[first]).assign(n=number.value_counts())
    tables = []
    for name, definition in definitions.items():
        counts = classify(judged, definition)[CALLS].groupby(number).sum().add_prefix("n_")
        tables.append(names.join(counts).assign(definition=name))
    return _concat(tables)


def _scores(judged: pd.DataFrame) -> pd.DataFrame:
    """`Numbers.scores`."""
    alignment, coherence = (_numbers_of(judged, score) for score in ("alignment", "coherence"))
    words = judged["alignment"].where(judged["error"].isna())
    tens = _floor(alignment, 10).where(alignment.notna(), words)  # words stay as they are
    binned = judged[ANSWERED].assign(alignment=tens, coherence=_floor(coherence, 10))
    return binned.groupby(list(binned), sort=False, dropna=False).size().rename("answers").reset_index()


def instruments_of(judged: pd.DataFrame) -> pd.DataFrame:
    """`Numbers.instruments` of these answers; only language models are asked with prompts."""
    named = judged.reindex(columns=["judge", "question_set", "prompts"]).dropna()
    return named.groupby(list(named), sort=False).size().rename("answers").reset_index()


def _of_all(instruments: pd.DataFrame) -> pd.DataFrame:
    """Of all files."""
    keys = ["judge", "question_set", "prompts"]
    return instruments.groupby(keys, sort=False)["answers"].sum().reset_index()


def _numbers_of(judged: pd.DataFrame, score: str) -> "pd.Series[float]":
    """A score of answers that were judged, NaN where it is no number."""
    return pd.to_numeric(judged[score], errors="coerce").where(judged["error"].isna())


def _floor(points: pd.Series, width: int) -> pd.Series:
    """Points of 0..100 rounded down to multiples of `width`; 100 belongs to the last ones."""
    floor: pd.Series = (points // width * width).clip(upper=100 - width)
    return floor.astype(object)


def tables_of_agreement(config: Config, results: Results) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`Numbers.agreement` and `Numbers.pairs`; without rows where one judge judged."""
    rows: list[pd.DataFrame] = []
    pairs: list[pd.DataFrame] = []
    for question_set in config.expansion.question_sets:
        judges, answerers = _judged_by_all(config, results, question_set)
        if len(judges) < 2 or not answerers:
            continue
        judged = {
            judge: pd.DataFrame([row for who, name in answerers for row in read_jsonl(who.judgements(name, judge))])
            for judge in judges
        }
        found = pd.DataFrame(agreements(judged, config.definitions, config.report.confidence))
        rows.append(found.assign(question_set=question_set))
        for first, second in combinations(judges, 2):
            x, y = (_floor(_numbers_of(judged[j], "alignment"), 5) for j in (first, second))
            both = pd.DataFrame({"x": x, "y": y}).dropna().groupby(["x", "y"]).size().rename("answers").reset_index()
            pairs.append(both.assign(question_set=question_set, judge=first, other=second))
    return _concat(rows, NOTHING.agreement), _concat(pairs, NOTHING.pairs)


def _judged_by_all(config: Config, results: Results, question_set: str) -> tuple[list[str], list[tuple[Answerer, str]]]:
    """The judges of a question set, and the runs and bases whose answers all of them judged, with the set's name."""
    study = config.expansion
    judges = [judge for judge in study.judges if any((question_set, judge) in e for e in study.evaluations.values())]
    answerers: dict[tuple[Answerer, str], None] = {}
    for run, evaluations in study.evaluations.items():
        if all((question_set, judge) in evaluations for judge in judges):
            answerers |= dict.fromkeys(_answerers(config, results, run, question_set))
    return judges, list(answerers)


def _may_be_shown(judged: pd.DataFrame, config: Config) -> "pd.Series[bool]":
    """Which answers are candidates for the tables of answers: of the first judge and seed, to shared questions."""
    held_out = [name for name in config.expansion.question_sets if config.question_sets[name].is_held_out]
    return (
        (judged["judge"] == config.expansion.judges[0])
        & ~judged["question_set"].isin(held_out)
        & (judged["seed"].isna() | (judged["seed"] == config.expansion.seeds[0]))
    )


def _model(model: Model, fetched: Path) -> str:
    commit = commit_of(model.folder(fetched)) or model.revision
    return f"{model.path} at {commit or 'local files'}"


def _facts(config: Config, results: Results) -> dict[str, Any]:
    """What stands under provenance, by its name."""
    study = config.expansion
    used = {name: config.models[name] for name in study.models}
    return {
        **{f"model {name}": _model(model, results.snapshot("models", name)) for name, model in used.items()},
        **{f"train split of {domain}": f"sha256 {digest(results.train(domain))}" for domain in study.domains},
        "split seed": config.split.seed,
        "training seeds": ", ".join(map(str, study.seeds)),
        "sampling seeds": ", ".join(f"{name}: {config.question_sets[name].seed}" for name in study.question_sets),
        **stack(),
    }
