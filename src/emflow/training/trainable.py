"""The model that a method trains."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel, get_peft_model, prepare_model_for_kbit_training
from transformers import PreTrainedModel

from emflow.config.finetune import Finetune, Full, Lora
from emflow.files import InputError
from emflow.models.loading import load_model
from emflow.training.arguments import lora_config
from emflow.training.attention import attend_apart

__all__ = ["reference", "require_bitsandbytes", "trainable"]


def require_bitsandbytes(method: Finetune) -> None:
    """Raises InputError where the method needs bitsandbytes and it is not installed."""
    wants = {
        "optimizer: adamw_8bit": method.optimizer == "adamw_8bit",
        "load_in_4bit": isinstance(method, Lora) and method.load_in_4bit,
    }
    missing = [key for key, wanted in wants.items() if wanted and find_spec("bitsandbytes") is None]
    if missing:
        raise InputError(
            f"methods.NAME.{missing[0]} needs bitsandbytes, which is not installed here: pip install bitsandbytes, "
            "run in the environment of envs/gpu.yaml, or choose another"
        )


def trainable(base: Path, dtype: str, method: Finetune) -> PreTrainedModel | PeftModel:
    """The base model of a folder, with new adapters where the method trains these."""
    if isinstance(method, Full):
        return _loaded(base, method.precision, method, on=torch.device("cpu") if method.in_shards else None)
    assert isinstance(method, Lora)
    model = _loaded(base, dtype, method, four_bit=method.load_in_4bit)
    if (
        method.load_in_4bit
    ):  # its other weights become float32, as in setup_model_and_tokenizer of homework 0's train.py
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=method.gradient_checkpointing)
    model = get_peft_model(model, lora_config(method, model))
    # peft keeps names in a set, whose order changes from process to process, and so would the files' digests
    model.peft_config["default"].target_modules = sorted(model.peft_config["default"].target_modules)
    return model


def _loaded(base: Path, dtype: str, method: Finetune, **how: Any) -> PreTrainedModel:
    model = load_model(base, dtype, **how)
    model.config.get_text_config().use_cache = False  # Trainer says so to the config above it alone
    if method.padding_free:
        attend_apart(model)
    return model


def reference(base: Path, dtype: str, method: Finetune) -> PreTrainedModel | None:
    """A second, frozen copy of the base model to compare with; None where the trained one without its adapter is it."""
    return None if isinstance(method, Lora) else load_model(base, dtype).requires_grad_(False)
