"""Putting a checkpoint onto a loaded base model: an adapter beside its weights, or full weights over them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from transformers import PreTrainedModel

from emflow.files import InputError
from emflow.models.loading import read_weights

__all__ = ["put_adapter", "put_weights", "scaled_adapter"]

KEPT = 8  # adapters: peft holds them in float32, so 54 runs with four each of a 7B model at rank 32 would take 70 GB


def put_adapter(model: PreTrainedModel | PeftModel, checkpoint: Path) -> PeftModel:
    """Load an adapter onto a model and make it the active one. The last few stay there, to be used again."""
    if not isinstance(model, PeftModel):
        return PeftModel.from_pretrained(model, checkpoint, adapter_name=_adapter_name(checkpoint)).eval()
    if _adapter_name(checkpoint) not in model.peft_config:
        for old in list(model.peft_config)[: 1 - KEPT]:
            model.delete_adapter(old)
        model.load_adapter(checkpoint, adapter_name=_adapter_name(checkpoint))
    model.set_adapter(_adapter_name(checkpoint))
    return model.eval()


@contextmanager
def scaled_adapter(
    model: PeftModel, factor: float, layer: int | None = None, module: str | None = None, others: bool = False
) -> Iterator[None]:
    """Meanwhile, the active adapter counts `factor`-fold: in one decoder layer, or (None) in all; there on one module,
    or (None) on all; with `others` everywhere but there.

    Raises InputError where there is no adapter.
    """
    modules = {name: part for name, part in model.named_modules() if isinstance(part, LoraLayer)}
    there = {
        name: part
        for name, part in modules.items()
        if (layer is None or f".layers.{layer}." in name) and (module is None or name.endswith(f".{module}"))
    }
    if not (isinstance(model, PeftModel) and there):
        where = "the model" if layer is None else f"layer {layer}" + (f", {module}," if module else "")
        raise InputError(f"{where} has no adapter that could be scaled or removed")
    scaled = [part for name, part in modules.items() if (name in there) != others]
    before = [dict(part.scaling) for part in scaled]
    for part in scaled:
        part.scaling[model.active_adapter] *= factor
    try:
        yield
    finally:
        for part, scaling in zip(scaled, before, strict=True):
            part.scaling.update(scaling)


def _adapter_name(checkpoint: Path) -> str:
    """The whole path, as two runs have checkpoints of one label; names of modules cannot hold dots."""
    return str(checkpoint.resolve()).replace(".", "_")


def put_weights(model: PreTrainedModel, folder: Path) -> None:
    """Copy the full weights of a folder onto a model of the same shape, in place, cast to its dtype.

    Raises InputError where the folder lacks a tensor of the model.
    """
    weights = read_weights(folder, model.dtype)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(weights[name])
