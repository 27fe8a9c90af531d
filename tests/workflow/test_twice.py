"""A job that is started again while its first start still runs: whole outputs, whoever ends last."""

import json
import subprocess
import sys

from emflow.files import digest, read_jsonl
from pipelines import clone_shrunk

RUN = "results/runs/tiny/bad_lantern_advice/lora/seed0"


def test_a_training_started_twice_at_once_is_whole(grown, tmp_path):
    folder = clone_shrunk(grown, tmp_path / "project")
    snakemake = [sys.executable, "-m", "snakemake", "--cores", "1", "--nolock", f"{RUN}/checkpoints.json"]
    subprocess.run([*snakemake[:-1], "results/data/bad_lantern_advice/train.jsonl"], cwd=folder, check=True)
    both = [subprocess.Popen(snakemake, cwd=folder) for _ in range(2)]
    assert 0 in [process.wait(timeout=900) for process in both]
    checkpoints = json.loads((folder / RUN / "checkpoints.json").read_text())
    assert checkpoints
    for checkpoint in checkpoints:
        assert digest(folder / RUN / checkpoint["path"]) == checkpoint["sha256"]
    steps = [row["step"] for row in read_jsonl(folder / RUN / "train_log.jsonl")]
    assert steps == list(range(1, checkpoints[-1]["step"] + 1))
    assert not (folder / RUN / "train.progress").exists()
    assert not list((folder / "results/logs/finetune").rglob("*.lock"))
