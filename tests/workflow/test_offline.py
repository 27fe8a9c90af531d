"""Nothing of the default workflow needs a network, once what others publish is there."""

import subprocess
import sys

import pytest

from pipelines import ALONE


def test_the_whole_workflow_runs_without_a_network(shrunk):
    if subprocess.run([*ALONE, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no network namespace may be made here")
    reach = "import socket; socket.create_connection(('192.0.2.1', 80), timeout=1)"
    refused = subprocess.run([*ALONE, sys.executable, "-c", reach], capture_output=True, text=True, check=False)
    assert "Network is unreachable" in refused.stderr
    interfaces = [
        line.split(":")[0].strip() for line in (shrunk / "interfaces").read_text().splitlines() if ":" in line
    ]
    assert interfaces == ["lo"]
    assert (shrunk / "results/report/summary.md").exists()
