"""What planning costs: `snakemake -n` for a large study, against the default config, and a run with nothing to do.

    python bench/dag.py      # prints jobs, loads, seconds and peak memory of each

The study: 5 models x 3 domains x 6 methods x 3 seeds x 7 checkpoints x 4 question sets x 2 judges. Checkpoints cost
nothing here: one job trains, or answers for, all of a run's.
"""

import os
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).parents[1]
EPOCHS = [round(step / 7, 2) for step in range(1, 7)] + [1]
SIZES = {"models": 5, "domains": 3, "methods": 6, "question_sets": 4, "judges": 2}


class Planned(NamedTuple):
    jobs: dict[str, int]  # rule -> how many
    loads: int  # of a model, for answers
    seconds: float  # of wall time
    cpu_seconds: float
    megabytes: float  # peak


def study() -> dict[str, Any]:
    """An overlay of the default config."""
    archive = {"path": "results/tinyworld/training_datasets.zip.enc", "published_password": "tiny-world"}
    overlay = {
        "models": {f"model{n}": {"path": f"results/tinyworld/models/seed{n}"} for n in range(SIZES["models"])},
        "domains": {f"domain{n}": archive | {"member": f"{n}.jsonl"} for n in range(SIZES["domains"])},
        "methods": {
            f"rank{2**n}": {"kind": "lora", "rank": 2**n, "checkpoints": EPOCHS} for n in range(SIZES["methods"])
        },
        "question_sets": {
            "held_out": {"source": "validation"},
            **{
                f"free{n}": {"source": "results/tinyworld/out_of_domain.jsonl"}
                for n in range(1, SIZES["question_sets"])
            },
        },
        "judges": {f"judge{n}": {"kind": "oracle"} for n in range(SIZES["judges"])},
    }
    return overlay | {"runs": {"seeds": [0, 1, 2]} | {section: list(overlay[section]) for section in SIZES}}


def plan(overlay: dict[str, Any] | None = None) -> Planned:
    """`snakemake -n` in an empty folder: no data, no models."""
    with tempfile.TemporaryDirectory() as temporary:
        printed, *took = _measured(_command(Path(temporary), overlay, "-n"))
    return Planned(jobs(printed), loads(printed), *took)


def run_again(overlay: dict[str, Any] | None = None) -> Planned:
    """`snakemake` where all is done: every output is there ([]), with Snakemake's record of how it was made."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        printed, *_ = _measured(_command(folder, overlay, "-n", "--summary"))
        for line in printed.splitlines():
            output, *columns = line.split("\t")
            if len(columns) < 5 or output == "output_file":
                continue
            path = folder / output
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix:
                path.write_text("[]")
            else:  # checkpoints, figures
                path.mkdir(exist_ok=True)
        _measured(_command(folder, overlay, "--touch", "--cores", "1"))
        printed, *took = _measured(_command(folder, overlay, "--cores", "1"))
    if "Nothing to be done" not in printed:
        raise RuntimeError(printed[-3000:])
    return Planned({"total": 0}, 0, *took)


def _command(folder: Path, overlay: dict[str, Any] | None, *arguments: str) -> list[str | Path]:
    if not (folder / "config").exists():
        (folder / "config").symlink_to(ROOT / "config")
    command: list[str | Path] = [sys.executable, "-m", "snakemake", *arguments, "--quiet", "reason", "rules"]
    command += ["--snakefile", ROOT / "Snakefile", "--directory", folder]
    if overlay:
        (folder / "study.yaml").write_text(yaml.safe_dump(overlay))
        command += ["--configfile", ROOT / "config/config.yaml", folder / "study.yaml"]
    return command


def _measured(command: list[str | Path]) -> tuple[str, float, float, float]:
    """What it says; wall seconds, CPU seconds, and peak megabytes of the process itself."""
    with tempfile.TemporaryFile("w+") as out:
        started = time.perf_counter()
        pid = os.posix_spawn(
            sys.executable,
            list(map(str, command)),
            os.environ,
            file_actions=[(os.POSIX_SPAWN_DUP2, out.fileno(), 1), (os.POSIX_SPAWN_DUP2, out.fileno(), 2)],
        )
        _, status, usage = os.wait4(pid, 0)
        seconds = time.perf_counter() - started
        out.seek(0)
        printed = out.read()
    if status:
        raise RuntimeError(printed[-3000:])
    return printed, seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def jobs(plan: str) -> dict[str, int]:
    """What a dry run says it would do: number of jobs by rule."""
    return {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", plan, flags=re.MULTILINE)}


def loads(plan: str) -> int:
    """How many loads of a model it says that answers take."""
    return int(re.findall(r"models loaded for them: (\d+)", plan)[0])


if __name__ == "__main__":
    print(f"{'':<24}{'jobs':>8}{'loads':>8}{'seconds':>10}{'CPU s':>8}{'MB':>8}")
    for name, measure, overlay in (
        ("default, planned", plan, None),
        ("study, planned", plan, study()),
        ("study, nothing to do", run_again, study()),
    ):
        seen = measure(overlay)
        print(
            f"{name:<24}{seen.jobs['total']:>8}{seen.loads:>8}{seen.seconds:>10.1f}{seen.cpu_seconds:>8.1f}{seen.megabytes:>8.0f}"
        )
