"""Whole pipelines, in folders of their own."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from emflow.files import exclusive_lock, replacing
from pipelines import ALONE, ROOT, TRAINING, clone_shrunk, snakemake


def once(tmp_path_factory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that the first worker to ask for it makes, while the others wait."""
    base = tmp_path_factory.getbasetemp()
    made = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    with exclusive_lock(made.with_suffix(".lock")):
        if not made.exists():
            with replacing(made) as folder:
                make(folder)
    return made


def run(folder: Path, *arguments: str) -> None:
    finished = snakemake(folder, "--cores", "2", *arguments)
    assert finished.returncode == 0, finished.stdout[-5000:]


@pytest.fixture(scope="session")
def grown(tmp_path_factory) -> Path:
    """A folder with the default config, in which the workflow has got as far as the base model."""

    def make(folder: Path) -> None:
        shutil.copytree(ROOT / "config", folder / "config")
        run(folder, "results/tinyworld/models/seed0")

    return once(tmp_path_factory, "grown", make)


@pytest.fixture(scope="session")
def demo(grown, tmp_path_factory) -> Path:
    """The folder of a finished default workflow, a copy of this worker's own."""

    def make(folder: Path) -> None:
        shutil.copytree(grown, folder)
        run(folder)

    return shutil.copytree(once(tmp_path_factory, "demo", make), tmp_path_factory.mktemp("demo") / "project")


@pytest.fixture(scope="session")
def shrunk(grown, tmp_path_factory) -> Path:
    """A finished workflow that takes a minute (`clone_shrunk`), a copy of this worker's own; and a training of seed 1.

    It ran without a network where that can be taken away: `interfaces` holds those that it saw.
    """

    def make(folder: Path) -> None:
        clone_shrunk(grown, folder)
        alone = ALONE if subprocess.run([*ALONE, "true"], capture_output=True).returncode == 0 else []
        steps = 'cp /proc/net/dev interfaces; exec "$@"'
        command = [*alone, "sh", "-c", steps, "sh", sys.executable, "-m", "snakemake", "--cores", "2", "all", TRAINING]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=1500)
        assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]

    return shutil.copytree(
        once(tmp_path_factory, "shrunk", make), tmp_path_factory.mktemp("shrunk") / "project", symlinks=True
    )
