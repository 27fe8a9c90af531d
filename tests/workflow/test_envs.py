"""The pinned environments: one installs anew and runs the workflow's rules, the other's pins are all to be had."""

import os
import subprocess
import sys
from pathlib import Path

from pipelines import ROOT, clone_shrunk
from pythons import find_python

BIN = Path(sys.executable).parent


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess:
    env = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(list(map(str, command)), cwd=cwd, env=env, capture_output=True, text=True, timeout=1500)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done


def test_the_cpu_environment_installs_anew_from_an_old_python_and_trains(grown, tmp_path):
    venv = tmp_path / "venv"
    python = find_python("3.8", "3.9", "3.10", "3.11")
    run("make", *([f"PYTHON={python}"] if python else []), f"VENV={venv}", venv / "demo.installed", cwd=ROOT)
    folder = clone_shrunk(grown, tmp_path / "project")
    index = "results/runs/tiny/bad_lantern_advice/lora/seed0/checkpoints.json"
    run(venv / "bin/snakemake", "--cores", "2", index, cwd=folder)
    assert (folder / index).exists()


def test_all_pins_of_the_gpu_environment_are_to_be_had():
    pins = (ROOT / "envs/gpu.lock").read_text().split()
    planned = run(
        BIN / "uv", "pip", "install", "--dry-run", "--no-deps", "--reinstall", "--python", sys.executable,
        "-r", "envs/gpu.lock", cwd=ROOT,
    )  # fmt: skip
    assert all(f"+ {pin}" in planned.stderr for pin in pins)
