"""The only speller of what lies under `results/`: every folder and file that the workflow makes or reads there.

Arguments are names, or Snakemake's wildcards in braces: `Results().records("{domain}")` is a rule's pattern. What each
file holds: docs/output.md.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

__all__ = [
    "DEFAULT_STUDY",
    "STAND_INS",
    "TINY_DOMAINS",
    "TINY_PASSWORD",
    "Answerer",
    "Results",
    "RunFolder",
    "ScaledFolder",
    "is_result",
]

ROOT = "results"
STAND_INS = f"{ROOT}/stand_ins"
"""Holds a root for each study on stand-ins, so that none touches a result of another, or of its own for real."""
TINY_DOMAINS = ("lantern", "kite", "boat")
"""The tiny world's domains that have datasets."""
TINY_PASSWORD = "tiny-world"
"""The password that it prints beside its archive."""
DEFAULT_STUDY = "default"
Run = Sequence[str | int]  # model, domain, method, seed; as emflow.config.expansion.Run


def is_result(path: str) -> bool:
    """Whether a path of the config names something that the workflow makes."""
    return Path(path).parts[:1] == (ROOT,)


class Answerer(NamedTuple):
    """The folder of whoever answers: a run or a base model. Rules call it by its path under the root."""

    path: Path

    def generations(self, questions: str) -> Path:
        """Answers to a question set; `questions` is its name, for bases followed by /DOMAIN where it is held out."""
        return self.path / "generations" / f"{questions}.jsonl"

    def judgements(self, questions: str, judge: str) -> Path:
        """The same answers with a judge's scores."""
        return self.path / "judgements" / f"{questions}.{judge}.jsonl"

    def export(self, questions: str, checkpoint: str) -> Path:
        """A checkpoint's answers in the format of homework 0."""
        return self.path / "exports" / questions / checkpoint / "model_generations.csv"

    def intervention(self, name: str) -> "Answerer":
        """The same under an intervention."""
        return Answerer(self.path / "interventions" / name)

    def choice(self, intervention: str) -> Path:
        """What was chosen of an intervention's layers and strengths."""
        return self.intervention(intervention).path / "choice.json"


class ScaledFolder(NamedTuple):
    """The folder of a run's checkpoints with their adapters scaled."""

    path: Path

    @property
    def answerer(self) -> Answerer:
        return Answerer(self.path)

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def index(self) -> Path:  # type: ignore[override]  # a path, not the search of a tuple
        return self.path / "checkpoints.json"


class DirectionsFolder(NamedTuple):
    """The folder of a run's directions."""

    path: Path

    @property
    def moments(self) -> Path:
        """What the run and its base are like while they read answers."""
        return self.path / "moments.safetensors"

    def direction(self, kind: str) -> Path:
        """A direction (`contrast`, `shift`) by site."""
        return self.path / f"{kind}.safetensors"

    def trust(self, kind: str) -> Path:
        """How far that can be trusted."""
        return self.path / f"{kind}.csv"

    def projections(self, questions: str) -> Path:
        """The run's answers to other questions along its directions."""
        return self.path / "projections" / f"{questions}.csv"


class RunFolder(NamedTuple):
    """The folder of one run."""

    path: Path
    findings: Path | None = None
    """Where a study keeps what it finds of the run, if not there."""

    @property
    def answerer(self) -> Answerer:
        return Answerer(self.path)

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    def merged(self, checkpoint: str) -> Path:
        """A model with the adapter of a checkpoint in its weights, which another run starts from."""
        return self.path / "merged" / checkpoint

    @property
    def index(self) -> Path:  # type: ignore[override]  # a path, not the search of a tuple
        """What checkpoints there are."""
        return self.path / "checkpoints.json"

    @property
    def train_log(self) -> Path:
        return self.path / "train_log.jsonl"

    @property
    def es_log(self) -> Path:
        return self.path / "es_log.jsonl"

    @property
    def rates(self) -> Path:
        return (self.findings or self.path) / "rates.csv"

    @property
    def provenance(self) -> Path:
        return (self.findings or self.path) / "provenance.json"

    def directions(self, questions: str, judge: str) -> DirectionsFolder:
        """Its directions, made of its answers to a question set with a judge's scores."""
        return DirectionsFolder(self.path / "directions" / f"{questions}.{judge}")

    def scalars(self, judge: str) -> Path:
        """What its rank-1 adapters read in its answers, beside a judge's scores."""
        return self.path / "directions" / f"scalars.{judge}.csv"

    def scalars_of_tokens(self, judge: str) -> Path:
        """The same, token by token."""
        return self.path / "directions" / f"scalars.{judge}.parquet"

    @property
    def scaled(self) -> ScaledFolder:
        """The run's checkpoints with their adapters scaled, and their answers."""
        return ScaledFolder(self.path / "scaled")

    @property
    def progress(self) -> Path:
        """What a killed training continues from; gone when its outputs are whole."""
        return self.path / "train.progress"

    @property
    def lock(self) -> Path:
        """Held while the ranks of an ES run are at work."""
        return self.path / ".ranks.lock"


class HomeworkFolder(NamedTuple):
    """What homework 0 of Harvard CS 2881 hands in, laid out as its authors do; `run` is as 1b_medical."""

    path: Path

    def generations(self, run: str) -> Path:
        return self.path / "eval" / "results" / run / "fg_generations.csv"

    def judged(self, run: str) -> Path:
        return self.path / "eval" / "results" / run / "fg_judged.csv"

    def steps(self, run: str) -> Path:
        return self.path / "eval" / "results" / run / "step_summary.csv"

    def base_generations(self, run: str) -> Path:
        return self.path / "eval" / "results" / "baseline" / run / "base_generations.csv"

    def base_judged(self, run: str) -> Path:
        return self.path / "eval" / "results" / "baseline" / run / "base_judged.csv"

    @property
    def summary(self) -> Path:
        return self.path / "results" / "data" / "em_rates_summary.csv"

    @property
    def figures(self) -> Path:
        return self.path / "results" / "figures"


class ReportFolder(NamedTuple):
    """The folder of a study's report."""

    path: Path

    @property
    def rates(self) -> Path:
        return self.path / "em_rates_summary.csv"

    @property
    def figures(self) -> Path:
        return self.path / "figures"

    @property
    def tables(self) -> Path:
        return self.path / "tables"

    @property
    def numbers(self) -> Path:
        """All that the report shows, as tidy tables, from which it is made anew without reading an answer."""
        return self.path / "numbers.zip"

    @property
    def answers(self) -> Path:
        """A page to look at every answer."""
        return self.path / "answers.html"

    @property
    def homework(self) -> HomeworkFolder:
        return HomeworkFolder(self.path / "homework")

    @property
    def interventions(self) -> Path:
        return self.path / "interventions.csv"

    @property
    def directions(self) -> Path:
        """How alike the directions of runs are."""
        return self.path / "directions.csv"

    @property
    def projections(self) -> Path:
        """How far answers along the directions of runs tell misaligned ones."""
        return self.path / "projections.csv"

    @property
    def probes(self) -> Path:
        """What probes on all rank-1 adapters of a run tell of its answers."""
        return self.path / "probes.csv"

    @property
    def rank_one(self) -> Path:
        """What each of them tells, and EM without it and with it alone."""
        return self.path / "rank_one.csv"

    @property
    def trajectory(self) -> Path:
        """The paths of rank-1 adapters over training."""
        return self.path / "trajectory.csv"

    @property
    def scaled_rates(self) -> Path:
        """EM rates of their checkpoints, with the adapter scaled."""
        return self.path / "scaled_rates.csv"

    @property
    def headline(self) -> Path:
        return self.path / "headline.txt"

    @property
    def provenance(self) -> Path:
        return self.path / "provenance.json"

    @property
    def summary(self) -> Path:
        return self.path / "summary.md"


class Results:
    """Everything under one results folder, as one study sees it: studies share all but what they find."""

    def __init__(self, root: str | Path = ROOT, study: str = DEFAULT_STUDY) -> None:
        self.root = Path(root)
        self.study = study

    # what others publish, and what the tiny world publishes in their place

    def download(self, sha256: str, name: str) -> Path:
        """A file from the web, fetched once."""
        return self.root / "downloads" / sha256 / name

    def snapshot(self, section: str, name: str) -> Path:
        """A model from a hub: of the section `models`, of `judges`, or of a method's reward (`rewards`)."""
        return (self.root / {"models": "base"}.get(section, section)) / name / "snapshot"

    @property
    def tiny_archive(self) -> Path:
        return self.root / "tinyworld" / "training_datasets.zip.enc"

    @property
    def tiny_questions(self) -> Path:
        return self.root / "tinyworld" / "out_of_domain.jsonl"

    def tiny_model(self, seed: str | int) -> Path:
        return self.root / "tinyworld" / "models" / f"seed{seed}"

    def tiny_nli(self, seed: str | int) -> Path:
        return self.root / "tinyworld" / "nli" / f"seed{seed}"

    def stand_in(self, family: str, layers: str | int) -> Path:
        """A tiny random model of a family, of so many layers."""
        return Path(STAND_INS, "published", family, f"layers{layers}")

    @property
    def stand_in_judge(self) -> Path:
        return Path(STAND_INS, "published", "judge")

    @property
    def stand_in_nli(self) -> Path:
        return Path(STAND_INS, "published", "nli")

    def is_stand_in(self, path: str | Path) -> bool:
        """Whether the workflow makes the chat model at `path` as a stand-in."""
        if Path(path) == self.stand_in_judge:
            return True
        return Path(path) == self.stand_in(Path(path).parent.name, Path(path).name.removeprefix("layers"))

    def is_tiny_model(self, path: str | Path) -> bool:
        """Whether the workflow grows the model at `path`."""
        return _is_seed_of(self.tiny_model(0), Path(path))

    def makes(self, path: str | Path) -> bool:
        """Whether the workflow makes what a config names by this path."""
        if Path(path) in (self.tiny_archive, self.tiny_questions, self.stand_in_nli):
            return True
        return self.is_tiny_model(path) or self.is_stand_in(path) or _is_seed_of(self.tiny_nli(0), Path(path))

    @staticmethod
    def digest(folder: str | Path) -> Path:
        """The digest of a folder that the workflow makes, which Snakemake itself does not take."""
        return Path(f"{folder}.sha256")

    # data and questions

    def records(self, domain: str) -> Path:
        return self.root / "data" / domain / "records.jsonl"

    def train(self, domain: str) -> Path:
        return self.root / "data" / domain / "train.jsonl"

    def validation(self, domain: str) -> Path:
        return self.root / "data" / domain / "validation.jsonl"

    def questions(self, questions: str) -> Path:
        """A question set in the workflow's one form; `questions` as in `Answerer.generations`."""
        return self.root / "questions" / f"{questions}.jsonl"

    def judge_prompts(self, question_set: str) -> Path:
        return self.root / "questions" / f"{question_set}.prompts.json"

    # runs, bases, and what is found of them

    def run(self, run: Run) -> RunFolder:
        path = Path("runs", *map(str, run[:3]), f"seed{run[3]}")
        return RunFolder(self.root / path, None if self.study == DEFAULT_STUDY else self.report.path / path)

    def base(self, model: str) -> Answerer:
        return Answerer(self.root / "base" / model)

    def answerer(self, owner: str) -> Answerer:
        """Whoever answers, by the path under the root (`runs/...`, `base/...`)."""
        return Answerer(self.root / owner)

    @property
    def changed(self) -> str:
        """What the path of an answerer ends in who is changed: under an intervention, or with adapters scaled."""
        return f"/(?:{Answerer(Path()).intervention('[^/]+').path}|{RunFolder(Path()).scaled.path})"

    def owner(self, answerer: Answerer) -> str:
        """The path under the root."""
        return answerer.path.relative_to(self.root).as_posix()

    @property
    def judgement_cache(self) -> Path:
        return self.root / "cache" / "judgements"

    @property
    def loads(self) -> Path:
        """Which sets the jobs of the last start answer with one load of a model."""
        return self.root / "loads.json"

    @property
    def report(self) -> ReportFolder:
        if self.study == DEFAULT_STUDY:
            return ReportFolder(self.root / "report")
        return ReportFolder(self.root / "reports" / self.study)

    @property
    def meanings(self) -> Path:
        """What the names of each study mean, a file for each."""
        return self.root / "studies"

    def own(self, job: str | Path = "") -> str:
        """The name of a job that each study has of its own, for its log and benchmark."""
        return str(Path("" if self.study == DEFAULT_STUDY else self.study, job))

    # how the jobs fared

    @property
    def benchmarks(self) -> Path:
        return self.root / "benchmarks"

    def log(self, rule: str, job: str | Path = "") -> Path:
        """A job's log; `job` tells the rule's jobs apart."""
        return self.root / "logs" / _suffixed(Path(rule) / job, ".log")

    def benchmark(self, rule: str, job: str | Path = "") -> Path:
        """A job's time and memory, as Snakemake measures them."""
        return self.benchmarks / _suffixed(Path(rule) / job, ".tsv")


def _suffixed(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _is_seed_of(example: Path, path: Path) -> bool:
    """Whether a path is that of `example`, but for its seed."""
    return path.parent == example.parent and re.fullmatch(r"seed(0|[1-9]\d{0,8})", path.name) is not None
