"""A model that vLLM splits over two processes shows the weights of its checkpoints like any other."""

import json
import subprocess
import sys

import pytest

from emflow.inference.prove import TOLERANCE

pytestmark = pytest.mark.vllm

SCRIPT = """
import json, sys
from pathlib import Path

from emflow.config.engine import VllmSettings
from emflow.inference.prove import ProvenEngine, _distance
from emflow.inference.vllm_engine import VllmEngine
from emflow.models.proof import read_proof

if __name__ == "__main__":  # vLLM's processes read this file, too
    base, *checkpoints = map(Path, sys.argv[1:])
    engine = VllmEngine(base, "float32", VllmSettings(kind="vllm", tensor_parallel_size=2), checkpoints)
    proven, off = ProvenEngine(engine, "vllm", "float32"), []
    for checkpoint in checkpoints:
        proven.use(checkpoint)
        proof = read_proof(checkpoint)
        off.append(_distance(engine.logprobs(proof.texts), proof.logprobs))
    print(json.dumps(off))
"""


def test_adapters_and_full_weights_show_on_two_processes(grown, adapters, full, tmp_path):
    (tmp_path / "proven.py").write_text(SCRIPT)
    command = [sys.executable, tmp_path / "proven.py", grown, adapters[0], full[1], adapters[1]]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    off = json.loads(done.stdout.splitlines()[-1])
    assert len(off) == 3 and max(off) < TOLERANCE["float32"] / 3
