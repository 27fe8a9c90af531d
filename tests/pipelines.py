"""Runs of the workflow as a user starts them."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def snakemake(folder: Path, *arguments: str, timeout: int = 1500) -> subprocess.CompletedProcess:
    """Run this workflow in `folder`; stdout and stderr come back as one text in `stdout`."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--directory", folder, *arguments]
    return subprocess.run(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout
    )
