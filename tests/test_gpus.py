"""Which GPUs there are, and what is said where one that was asked for cannot be used."""

import os

import pytest

from emflow import gpus
from emflow.console import stage
from emflow.models.loading import device
from emflow.training.es.__main__ import _see_one_gpu


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """As it is after the test what it was before."""
    for name in ("CUDA_VISIBLE_DEVICES", gpus.ASKED):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.mark.parametrize("asked", [{"gpu": 1}, {"gres": "gpu:a100:2"}])
def test_a_gpu_that_is_there_and_cannot_be_used_is_told_before_a_model_is_loaded(tmp_path, monkeypatch, asked):
    driver = tmp_path / "nvidiactl"
    monkeypatch.setattr(gpus, "DRIVERS", (str(driver),))
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with stage(tmp_path / "log", asked):  # none is there: a processor does it
        assert device().type == "cpu"
    driver.touch()
    refused = pytest.raises(
        SystemExit, match=r"^error: this job asks for a GPU, and torch .* cannot use it: `make gpu`"
    )
    with refused, stage(tmp_path / "log", asked):
        device()
    with stage(tmp_path / "log", asked):
        pass  # what loads nothing needs none
    with stage(tmp_path / "log", {"mem_mb": 100, "gpu": 0, "gres": ""}):
        assert device().type == "cpu"


@pytest.mark.parametrize(
    ("named", "seen"),
    [
        ("0", ["0"]),
        ("2,3", ["2", "3"]),
        ("GPU-8f,MIG-1a", ["GPU-8f", "MIG-1a"]),
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
    ],
)
def test_gpus_that_are_named_and_words_for_none(monkeypatch, named, seen):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert gpus.visible() == seen
    _see_one_gpu(0)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == (seen[0] if seen else named)


def test_gpus_of_the_machine_are_counted_where_nothing_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(gpus, "FOLDERS", tmp_path)
    assert gpus.visible() == []
    for name in ("0000:01:00.0", "0000:02:00.0"):
        (tmp_path / name).mkdir()
    assert gpus.visible() == ["0", "1"]
    _see_one_gpu(1)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "1"
