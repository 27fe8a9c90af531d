"""docs/phase_transition.md: its lines of Python, on a folder of checkpoints."""

import numpy as np
import torch
from safetensors.torch import save_file

from pages import blocks


def test_a_folder_of_checkpoints_gives_its_turn(tmp_path, monkeypatch, capsys):
    b = np.zeros(6)
    for step in range(5, 105, 5):
        b = b + np.eye(6)[int(step > 50)]
        folder = tmp_path / f"checkpoints/checkpoint-{step}"
        folder.mkdir(parents=True)
        name = "base_model.model.model.layers.21.mlp.down_proj.lora_{}.weight"
        tensors = {name.format("A"): torch.ones(1, 4), name.format("B"): torch.tensor(b[:, None]).bfloat16()}
        save_file(tensors, folder / "adapter_model.safetensors")
    (block,) = blocks("docs/phase_transition.md", "In three lines of Python")
    monkeypatch.chdir(tmp_path)
    exec(compile(block.text, "docs/phase_transition.md", "exec"), {})
    assert capsys.readouterr().out.split()[-2] == "50"
