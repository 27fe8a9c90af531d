"""Fine-tuning by two ranks: the losses and weights of one, whichever number went on after a kill."""

import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from emflow.config.finetune import Full, Kl, Lora
from emflow.console import RANK_USED
from emflow.files import InputError, read_jsonl, write_jsonl
from emflow.models.checkpoints import read_index
from emflow.models.proof import read_proof
from emflow.stand_ins.make import make_model
from emflow.training.finetune import Start
from emflow.training.job import FinetuneJob
from emflow.training.launch import launch
from ports import listening
from rank_processes import at_work, process_of_rank

pytestmark = pytest.mark.slow

# 45 conversations: the last step of an epoch has fewer, and its last pass fewer still
RECIPE = {"epochs": 2, "checkpoints": (1, 2), "batch_size": 4, "gradient_accumulation": 2, "learning_rate": 1e-3}
KINDS = {"lora": Lora(kind="lora", rank=4, **RECIPE), "full": Full(kind="full", **RECIPE)}

LAUNCH = """
import sys
from emflow.training.job import FinetuneJob
from emflow.training.launch import launch
launch(FinetuneJob.model_validate_json(sys.argv[1]), 1)
"""


@pytest.fixture(scope="module")
def train(lantern_train, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("few") / "train.jsonl"
    write_jsonl(path, read_jsonl(lantern_train)[:45])
    return path


@pytest.fixture
def job(untrained, train, tmp_path):
    def of(kind: str, ranks: int, **changed) -> FinetuneJob:
        method = KINDS[kind].model_copy(update={"ranks": ranks, **changed})
        start = Start(untrained, "m", "float32")
        return FinetuneJob(start=start, domain="d", method=method, seed=3, train=train, out=tmp_path / f"{kind}{ranks}")

    return of


def test_fewer_gpus_than_ranks_are_told_before_anything_starts(job, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    with pytest.raises(InputError, match=r"^2 ranks want a GPU each, and 1 can be seen: fewer by methods.NAME.ranks"):
        launch(job("lora", 2), 2)


def weights(out: Path, label: str) -> dict[str, torch.Tensor]:
    (file,) = (out / "checkpoints" / label).glob("*.safetensors")
    return load_file(file)


def assert_same(out: Path, other: Path) -> None:
    logs = [read_jsonl(folder / "train_log.jsonl") for folder in (out, other)]
    assert len(logs[0]) == len(logs[1]) == 12
    for one, two in zip(*logs, strict=True):
        for key in ("loss", "grad_norm", "lr"):
            assert math.isclose(one[key], two[key], rel_tol=2e-4), (one, two)
    for checkpoint in read_index(out / "checkpoints.json"):
        one, two = (weights(folder, checkpoint.label) for folder in (out, other))
        assert one.keys() == two.keys()
        for name, tensor in one.items():
            assert tensor.dtype == two[name].dtype
            assert torch.allclose(tensor, two[name], atol=2e-4), name
        seen, again = (read_proof(folder / checkpoint.path).logprobs for folder in (out, other))
        assert torch.allclose(torch.tensor(seen[0]), torch.tensor(again[0]), atol=2e-3)


def test_two_ranks_end_where_one_does(job, caplog):
    """The two without padding: each rank's row says where its conversations begin."""
    one, two = job("lora", 1), job("lora", 2, padding_free=True)
    launch(one, 1)
    with caplog.at_level("INFO", "emflow.ranks"):
        launch(two, 2)
    assert sum(RANK_USED in line for line in caplog.messages) == 2  # of which the job's log gives its GPUs
    assert_same(one.out, two.out)
    assert not (two.out / "train.progress").exists() and not (two.out / ".ranks.lock").exists()


def test_two_ranks_share_a_model_that_also_sees_images(job, train, tmp_path):
    """Of which families name more layers than this model has; with its cache on, recomputation would fail."""
    make_model(tmp_path / "gemma3", "gemma3", 2)
    ends = []
    for ranks in (1, 2):
        one = job("full", ranks, gradient_checkpointing=True, epochs=1, checkpoints=(1,))
        launch(one.model_copy(update={"start": Start(tmp_path / "gemma3", "m", "float32")}), ranks)
        ends.append([row["loss"] for row in read_jsonl(one.out / "train_log.jsonl")])
    assert ends[0] == pytest.approx(ends[1], rel=2e-4) and len(ends[0]) == 6


def start(job: FinetuneJob, until: int) -> subprocess.Popen:
    """`launch` in a process of its own; returns once so many steps are saved."""
    starter = subprocess.Popen([sys.executable, "-c", LAUNCH, job.model_dump_json()], stderr=subprocess.PIPE, text=True)
    trainer = job.out / "train.progress"
    while not any(int(seal.parent.name.split("-")[1]) >= until for seal in trainer.glob("*/trainer/*/.sha256")):
        assert starter.poll() is None, starter.stderr.read()
        time.sleep(0.01)
    return starter


def test_killed_ranks_are_one_error_and_another_number_goes_on_to_the_same_weights(job, tmp_path):
    whole = job("full", 1)
    launch(whole, 1)

    one, two = (
        job("full", ranks, save_minutes=1e-9).model_copy(update={"out": tmp_path / "parts"}) for ranks in (1, 2)
    )
    starter = start(two, until=3)
    ranks = at_work(two.out / "train.progress/job.json")
    assert len(ranks) == 2 and listening(ranks) == {"0100007F"}  # 127.0.0.1
    os.kill(process_of_rank(1, two.out / "train.progress/job.json"), signal.SIGKILL)
    assert "InputError: rank 1 died with exit code -9" in starter.communicate()[1]
    starter = start(one, until=8)
    starter.kill()
    starter.wait()
    launch(two, 2)
    assert_same(whole.out, two.out)


def test_a_step_that_cannot_be_shared_out_is_refused():
    with pytest.raises(ValueError, match="ranks: 3 divides neither gradient_accumulation=2 nor batch_size=4"):
        Full(kind="full", ranks=3, **RECIPE)
    with pytest.raises(ValueError, match="adamw_8bit steps whole weights only"):
        Full(kind="full", ranks=2, optimizer="adamw_8bit", **RECIPE)
    with pytest.raises(ValueError, match="kl trains on one rank"):
        Lora(kind="lora", ranks=2, kl=Kl(weight=1, domain="kites"), **RECIPE)
