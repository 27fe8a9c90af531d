"""Whole pipelines, in folders of their own."""

import os
import shutil
from pathlib import Path

import pytest

from emflow.files import alone, replacing
from pipelines import ROOT, snakemake


@pytest.fixture(scope="session")
def demo(tmp_path_factory) -> Path:
    """The folder of a finished default workflow: run by the first worker that needs it, and copied for each."""
    base = tmp_path_factory.getbasetemp()
    made = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "demo"
    with alone(made.with_suffix(".lock")):
        if not made.exists():
            with replacing(made) as folder:
                shutil.copytree(ROOT / "config", folder / "config")
                finished = snakemake(folder, "--cores", "2")
                assert finished.returncode == 0, finished.stdout[-5000:]
    return shutil.copytree(made, tmp_path_factory.mktemp("demo") / "project", symlinks=True)
