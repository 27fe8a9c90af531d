"""Whole pipelines, in folders of their own."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from emflow.files import exclusive_lock, replacing
from pipelines import ROOT, snakemake


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
