"""Runs of the workflow as a user starts them."""

import shutil
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
TRAINING = "results/runs/tiny/bad_lantern_advice/lora/seed1/checkpoints.json"  # beside what the default config runs
ALONE = ["unshare", "--net"]  # in a namespace without any interface


def snakemake(folder: Path, *arguments: str, timeout: int = 1500) -> subprocess.CompletedProcess:
    """Run this workflow in `folder`; stdout and stderr come back as one text in `stdout`."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--directory", folder, *arguments]
    return subprocess.run(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout
    )


def loads(folder: Path) -> int:
    """How many generation jobs have loaded a model."""
    return sum("tokens/s" in log.read_text() for log in folder.glob("results/logs/generate*/**/*.log"))


PROJECT = ("Snakefile", "workflow", "src", "envs", "profiles", "slurm", "config")  # what runs


def clone(folder: Path) -> Path:
    """Copy the project to a new folder."""
    folder.mkdir()
    for part in PROJECT:
        if (ROOT / part).is_dir() and not (ROOT / part).is_symlink():
            shutil.copytree(ROOT / part, folder / part)
        else:
            shutil.copy2(ROOT / part, folder / part, follow_symlinks=False)
    return folder


def clone_shrunk(grown: Path, folder: Path) -> Path:
    """A clone whose default config takes a minute, with the base model of the folder `grown`."""
    clone(folder)
    shutil.copytree(grown / "results/tinyworld", folder / "results/tinyworld")
    config = yaml.safe_load((folder / "config/config.yaml").read_text())
    config["models"]["tiny"]["parameters"] = 0.5  # large enough to ask for a GPU
    config["runs"] |= {"domains": ["bad_lantern_advice"], "methods": ["lora"]}
    config["split"]["test_size"] = 0.05
    config["methods"]["lora"] |= {"epochs": 2, "checkpoints": [0.25, 2]}
    config["engine"]["batch_size"] = 16
    for questions in config["question_sets"].values():
        questions |= {"samples": 1, "max_new_tokens": 24}
    (folder / "config/config.yaml").write_text(yaml.safe_dump(config))
    default = folder / "profiles/default/config.yaml"
    default.write_text(default.read_text() + "\nset-threads: {finetune: 1, generate: 1, generate_base: 1}\n")
    return folder
