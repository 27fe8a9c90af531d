"""Checkpoints whose adapters count several times: adapters with a longer B, which every engine serves like others."""

import shutil
from collections.abc import Collection, Sequence
from pathlib import Path

from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel

from emflow.files import digest, replacing
from emflow.models.adapters import put_adapter
from emflow.models.checkpoints import Checkpoint, read_index, unchanged_checkpoints, write_index
from emflow.models.loading import load_model
from emflow.models.proof import prove_by, read_proof
from emflow.paths import ScaledFolder

__all__ = ["scale_adapters", "scaled_label"]

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"


def scaled_label(label: str, scale: float) -> str:
    """Label of a checkpoint whose adapter counts so many times."""
    return f"{label}-x{scale:g}"


def scale_adapters(
    base: Path, dtype: str, index: Path, steps: Collection[int] | None, scales: Sequence[float], out: ScaledFolder
) -> list[Checkpoint]:
    """Write the run's checkpoints at `steps` (None: all) with their adapters scaled, and their index.

    The model in `base` tells, in `dtype`, what each is like (`emflow.models.proof`). Raises InputError where a
    checkpoint is not as it was made.
    """
    folders, scaled = unchanged_checkpoints(index), []
    model: PreTrainedModel | PeftModel = load_model(base, dtype)
    with replacing(out.checkpoints) as fresh:
        for checkpoint in read_index(index):
            if steps is not None and checkpoint.step not in steps:
                continue
            for scale in scales:
                label = scaled_label(checkpoint.label, scale)
                _write_scaled(folders[checkpoint.label], scale, fresh / label)
                model = put_adapter(model, fresh / label)
                texts = read_proof(folders[checkpoint.label]).texts
                prove_by(model, dtype, texts, fresh / label)
                sha256 = digest(fresh / label)
                path = f"{out.checkpoints.name}/{label}"
                scaled.append(Checkpoint(label, checkpoint.step, checkpoint.epoch, path, sha256))
    write_index(out.index, scaled)
    return scaled


def _write_scaled(adapter: Path, scale: float, out: Path) -> None:
    """An adapter with its B scaled; precisions stay."""
    out.mkdir(parents=True)
    shutil.copy(adapter / CONFIG, out)
    tensors = {
        name: (x.float() * scale).to(x.dtype) if ".lora_B." in name else x
        for name, x in load_file(adapter / WEIGHTS).items()
    }
    save_file(tensors, out / WEIGHTS, metadata={"format": "pt"})
