"""Nothing of the default workflow needs a network, once what others publish is there."""

import subprocess
import sys

import pytest

from pipelines import clone_shrunk

ALONE = ["unshare", "--net"]  # a namespace without any interface


def test_the_whole_workflow_runs_without_a_network(grown, tmp_path):
    if subprocess.run([*ALONE, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no network namespace may be made here")
    reach = "import socket; socket.create_connection(('192.0.2.1', 80), timeout=1)"
    refused = subprocess.run([*ALONE, sys.executable, "-c", reach], capture_output=True, text=True, check=False)
    assert "Network is unreachable" in refused.stderr
    folder = clone_shrunk(grown, tmp_path / "project")
    command = [*ALONE, sys.executable, "-m", "snakemake", "--cores", "2"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=1500, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (folder / "results/report/summary.md").exists()
