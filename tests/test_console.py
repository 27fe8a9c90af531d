"""What a stage says of the machine before it works."""

import pytest

from emflow import console
from emflow.console import stage


@pytest.mark.parametrize("asked", [{"gpu": 1}, {"gres": "gpu:a100:2"}])
def test_a_gpu_that_is_there_and_cannot_be_used_is_told_before_the_work(tmp_path, monkeypatch, asked):
    driver = tmp_path / "nvidiactl"
    monkeypatch.setattr(console, "DRIVERS", (str(driver),))
    with stage(tmp_path / "log", asked):  # none is there: a processor does it
        pass
    driver.touch()
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    refused = pytest.raises(
        SystemExit, match=r"^error: this job asks for a GPU, and torch .* cannot use it: `make gpu`"
    )
    with refused, stage(tmp_path / "log", asked):
        raise AssertionError("it worked")
    with stage(tmp_path / "log", {"mem_mb": 100, "gpu": 0, "gres": ""}):
        pass
