"""Liger's kernels, which no machine of ours can run: where they cannot, that is said before anything is loaded."""

import sys

import pytest
import torch

from emflow.config.finetune import Full, Lora
from emflow.files import InputError
from emflow.training.arguments import training_arguments
from emflow.training.finetune import Start, finetune
from emflow.training.liger import require_liger

LIGER = Lora(kind="lora", liger_kernel=True)


@pytest.fixture
def on_a_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)


@pytest.mark.parametrize("method", [LIGER, Full(kind="full", liger_kernel=True)])
def test_without_a_gpu(method, lantern_train, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match=r"methods\.NAME\.liger_kernel needs a GPU .* or set liger_kernel: false"):
        finetune(Start(tmp_path / "none", "m", "float32"), "d", method, 0, lantern_train, tmp_path)


def test_without_the_package(on_a_gpu, lantern_train, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "liger_kernel", None)
    with pytest.raises(InputError, match=r"methods\.NAME\.liger_kernel needs liger-kernel, .* pip install"):
        finetune(Start(tmp_path / "none", "m", "float32"), "d", LIGER, 0, lantern_train, tmp_path)


def test_with_a_model_of_a_family_that_it_does_not_know(on_a_gpu, untrained, tmp_path, monkeypatch):
    table = tmp_path / "liger_kernel" / "transformers" / "monkey_patch.py"  # where the package has it
    table.parent.mkdir(parents=True)
    table.write_text('MODEL_TYPE_TO_APPLY_LIGER_FN = {"llama": print}')
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("liger_kernel", "liger_kernel.transformers", "liger_kernel.transformers.monkey_patch"):
        monkeypatch.setitem(sys.modules, name, None)  # so that what is imported below goes with the test
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(InputError, match=r"methods\.NAME\.liger_kernel has no kernels for qwen2, the family of "):
        require_liger(LIGER, untrained)
    sys.modules["liger_kernel.transformers.monkey_patch"].MODEL_TYPE_TO_APPLY_LIGER_FN["qwen2"] = print
    require_liger(LIGER, untrained)


def test_trainer_is_told(tmp_path):
    told = [training_arguments(Lora(kind="lora", liger_kernel=on), 8, 0, "float32", tmp_path) for on in (False, True)]
    assert [arguments.use_liger_kernel for arguments in told] == [False, True]
