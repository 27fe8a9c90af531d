"""Rank-1 adapters are read as peft writes them, in any precision, and put in order by their steps."""

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

from emflow.files import InputError
from emflow.formats.rank_one import read_rank_one, read_series


def adapter(folder, a, b, dtype=torch.float32, layer=21):
    """As the authors of 2506.11613 publish theirs."""
    name = f"base_model.model.model.layers.{layer}.mlp.down_proj.lora_{{}}.weight"
    folder.mkdir(parents=True)
    tensors = {
        name.format("A"): torch.tensor([a], dtype=dtype),
        name.format("B"): torch.tensor([[x] for x in b], dtype=dtype),
    }
    save_file(tensors, folder / "adapter_model.safetensors")


def test_an_adapter_is_read_as_it_acts(untrained, tmp_path):
    torch.manual_seed(0)
    settings = LoraConfig(
        r=1, lora_alpha=3, target_modules=["down_proj"], layers_to_transform=[1], init_lora_weights=False
    )
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(untrained), settings)
    before = model.base_model.model.model.layers[1].mlp.down_proj.weight.detach().clone()
    model.save_pretrained(tmp_path / "epoch-1")
    merged = model.merge_and_unload().model.layers[1].mlp.down_proj.weight.detach()
    a, b = read_rank_one(tmp_path / "epoch-1")
    assert a.dtype == b.dtype == np.float64 and (len(a), len(b)) == before.shape[::-1]
    np.testing.assert_allclose(3 * np.outer(b, a), (merged - before).numpy(), atol=1e-6)


def test_a_series_is_in_the_order_of_its_steps(tmp_path):
    for step in (100, 5, 20):
        adapter(tmp_path / f"checkpoints/checkpoint-{step}", [step, 0.5], [1, 2, step], torch.bfloat16)
    (tmp_path / "checkpoints/notes").mkdir()
    steps, a, b = read_series(tmp_path / "checkpoints")
    assert steps == [5, 20, 100]
    np.testing.assert_array_equal(a, [[5, 0.5], [20, 0.5], [100, 0.5]])
    np.testing.assert_array_equal(b, [[1, 2, 5], [1, 2, 20], [1, 2, 100]])


def test_what_is_no_such_adapter_is_told(tmp_path):
    with pytest.raises(InputError, match="no folder such as checkpoint-5"):
        read_series(tmp_path)
    with pytest.raises(InputError, match=r"has no adapter_model\.safetensors"):
        read_rank_one(tmp_path)
    (tmp_path / "step-1").mkdir()
    name = "layers.0.mlp.down_proj.lora_{}.weight"
    wide = {name.format("A"): torch.zeros(2, 4), name.format("B"): torch.zeros(3, 2)}
    save_file(wide, tmp_path / "step-1/adapter_model.safetensors")
    with pytest.raises(InputError, match="holds 1 adapters of rank 2: a path is followed of one adapter of rank 1"):
        read_series(tmp_path)
