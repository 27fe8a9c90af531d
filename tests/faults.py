"""Faults of engines, injected by what they are given: other weights than those that the checkpoint's proof is of."""

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

FAULTS = ["base served", "wrong adapter", "half the scale", "rslora forgotten", "stale tensor", "wrong weights"]


def faulty(fault: str, base: Path, adapters: list[Path], full: list[Path], out: Path) -> Path:
    """A folder with what an engine with this fault would have in place, and the proof of what it should have."""
    right = full[1] if fault in ("stale tensor", "wrong weights") else adapters[1]
    folder = shutil.copytree(
        {"wrong adapter": adapters[0], "wrong weights": full[0]}.get(fault, right), out / "epoch-1"
    )
    shutil.copy(right / "proof.json", folder)
    adapter, settings = folder / "adapter_model.safetensors", folder / "adapter_config.json"
    if fault == "base served":
        save_file({name: torch.zeros_like(tensor) for name, tensor in load_file(adapter).items()}, adapter)
    elif fault == "stale tensor":
        name, weights = "model.layers.1.self_attn.o_proj.weight", folder / "model.safetensors"
        save_file({**load_file(weights), name: load_file(base / "model.safetensors")[name]}, weights, {"format": "pt"})
    elif fault in ("half the scale", "rslora forgotten"):
        config = json.loads(settings.read_text())
        change = {"lora_alpha": config["lora_alpha"] / 2} if fault == "half the scale" else {"use_rslora": False}
        settings.write_text(json.dumps({**config, **change}))
    return folder
