"""Fine-tuning: what it writes, and that a killed job ends where an undisturbed one does."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from emflow.config import Full, Lora
from emflow.files import InputError
from emflow.inference.models import load_model, put_adapter, put_weights
from emflow.training.checkpoints import read_index
from emflow.training.finetune import Start, finetune

RECIPE = {"epochs": 2, "checkpoints": (0.5, 1, 2), "batch_size": 8, "gradient_accumulation": 1, "learning_rate": 1e-3}
LORA = Lora(kind="lora", rank=4, dropout=0.1, **RECIPE)  # dropout: resuming must restore random states too

JOB = """
import sys, torch
from pathlib import Path
from emflow.config import Lora
from emflow.training.finetune import Start, finetune
torch.set_num_threads(1)
base, train, out, method = sys.argv[1:]
finetune(Start(Path(base), "m", "float32"), "d", Lora.model_validate_json(method), 3, Path(train), Path(out))
"""


def job(base: Path, train: Path, out: Path) -> subprocess.Popen:
    arguments = [sys.executable, "-c", JOB, base, train, out, LORA.model_dump_json()]
    return subprocess.Popen(list(map(str, arguments)), stderr=subprocess.PIPE, text=True)


def finish(running: subprocess.Popen) -> str:
    """What a job said; fails where the job did."""
    said = running.communicate(timeout=240)[1]
    assert running.returncode == 0, said
    return said


@pytest.fixture(scope="module")
def undisturbed(untrained, lantern_train, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed")
    finish(job(untrained, lantern_train, out))
    return out


def test_writes_labelled_checkpoints_and_a_log(undisturbed):
    index = read_index(undisturbed / "checkpoints.json")
    assert [(c.label, c.step, c.epoch) for c in index] == [
        ("epoch-0.5", 6, 0.5),
        ("epoch-1", 12, 1),
        ("epoch-2", 24, 2),
    ]
    log = [json.loads(line) for line in (undisturbed / "train_log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in log] == list(range(1, 25))
    assert log[-1]["loss"] < log[0]["loss"]
    assert set(log[0]) == {"step", "epoch", "loss", "grad_norm", "lr"}
    card = (undisturbed / "checkpoints/epoch-1/README.md").read_text()
    assert "model organism" in card and "step | `12`" in card
    assert not (undisturbed / "train.progress").exists()


def test_killed_and_run_again_ends_in_the_same_adapter_to_the_bit(undisturbed, untrained, lantern_train, tmp_path):
    killed = job(untrained, lantern_train, tmp_path)
    deadline = time.monotonic() + 240
    while not list(tmp_path.glob("train.progress/*/trainer/checkpoint-12/whole")):
        assert time.monotonic() < deadline and killed.poll() is None
        time.sleep(0.005)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not (tmp_path / "checkpoints.json").exists()

    said = finish(job(untrained, lantern_train, tmp_path))
    assert "continues after step 12 of 24" in said
    assert read_index(tmp_path / "checkpoints.json") == read_index(undisturbed / "checkpoints.json")
    assert (tmp_path / "train_log.jsonl").read_text() == (undisturbed / "train_log.jsonl").read_text()


def test_progress_that_was_half_written_is_not_used(undisturbed, untrained, lantern_train, tmp_path):
    killed = job(untrained, lantern_train, tmp_path)
    while not list(tmp_path.glob("train.progress/*/trainer/checkpoint-12")) and killed.poll() is None:
        time.sleep(0.001)
    killed.send_signal(signal.SIGKILL)  # as its folder appears
    killed.wait()
    for half in tmp_path.glob("train.progress/*/trainer/checkpoint-12"):
        (half / "whole").unlink(missing_ok=True)
        (half / "optimizer.pt").write_bytes(b"half")
    assert "continues after step 6 of 24" in finish(job(untrained, lantern_train, tmp_path))
    assert read_index(tmp_path / "checkpoints.json") == read_index(undisturbed / "checkpoints.json")


def test_adapters_and_full_weights_move_the_model_and_come_off_again(untrained, lantern_train, undisturbed, tmp_path):
    method = Full(kind="full", **{**RECIPE, "epochs": 1, "checkpoints": (1,)})
    (checkpoint,) = finetune(Start(untrained, "m", "float32"), "d", method, 0, lantern_train, tmp_path)
    model, ids = load_model(untrained, "float32"), torch.arange(20)[None]
    before = model(ids).logits
    put_weights(model, tmp_path / checkpoint.path)
    assert not torch.allclose(model(ids).logits, before)
    saved = load_file(tmp_path / checkpoint.path / "model.safetensors")
    assert all(torch.equal(p, saved[n]) for n, p in model.named_parameters())
    put_weights(model, untrained)
    assert torch.equal(model(ids).logits, before)
    adapted = put_adapter(model, undisturbed / "checkpoints/epoch-2")
    assert not torch.allclose(adapted(ids).logits, before)
    with adapted.disable_adapter():
        assert torch.equal(adapted(ids).logits, before)


def test_unknown_model_is_one_clear_error(lantern_train, tmp_path):
    with pytest.raises(InputError, match=r"nowhere holds no model .* set models\.NAME\.path"):
        finetune(Start(tmp_path / "nowhere", "m", "float32"), "d", LORA, 0, lantern_train, tmp_path / "out")
    assert not (tmp_path / "out").exists()
