"""Whole pipelines, in folders of their own."""

import shutil
from pathlib import Path

import pytest

from pipelines import ROOT, snakemake


@pytest.fixture(scope="session")
def demo(tmp_path_factory) -> Path:
    """The folder of a finished default workflow."""
    folder = tmp_path_factory.mktemp("demo")
    shutil.copytree(ROOT / "config", folder / "config")
    finished = snakemake(folder, "--cores", "2")
    assert finished.returncode == 0, finished.stdout[-5000:]
    return folder
