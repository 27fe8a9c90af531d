"""Loading a base model from its local folder, and a checkpoint onto it."""

from pathlib import Path

import torch
from peft import PeftModel
from safetensors import safe_open
from safetensors.torch import load_file
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from emflow.files import InputError

__all__ = [
    "device",
    "end_tokens",
    "is_adapter",
    "load_model",
    "load_tokenizer",
    "put_adapter",
    "put_weights",
    "tensor_names",
]


def device() -> torch.device:
    """The first GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _require(path: Path) -> None:
    if not (path / "config.json").exists():
        raise InputError(f"{path} holds no model (no config.json there); set models.NAME.path to a folder or a hub id")


def load_tokenizer(path: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a model folder, padding on the left for generation. Raises InputError without a model."""
    _require(path)
    tokenizer = AutoTokenizer.from_pretrained(path, padding_side="left", local_files_only=True)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def end_tokens(path: Path, tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """The tokens that end an answer: the tokenizer's, and those of a model folder's generation config."""
    if (path / "generation_config.json").exists():
        config = GenerationConfig.from_pretrained(path)
    else:
        config = GenerationConfig.from_model_config(AutoConfig.from_pretrained(path))
    more = config.eos_token_id
    return {tokenizer.eos_token_id, *(more if isinstance(more, list) else [more])} - {None}


def load_model(path: Path, dtype: str) -> PreTrainedModel:
    """The causal language model of a folder, on `device()`, in evaluation mode. Raises InputError without a model."""
    _require(path)
    transformers_logging.disable_progress_bar()
    model = AutoModelForCausalLM.from_pretrained(path, dtype=getattr(torch, dtype), local_files_only=True)
    return model.to(device()).eval()


def is_adapter(checkpoint: Path) -> bool:
    """Whether a checkpoint folder holds a peft adapter (else: full weights)."""
    return (checkpoint / "adapter_config.json").exists()


def put_adapter(model: PreTrainedModel | PeftModel, checkpoint: Path) -> PeftModel:
    """Load an adapter, named by its folder, onto a model and make it the active one."""
    if not isinstance(model, PeftModel):
        return PeftModel.from_pretrained(model, checkpoint, adapter_name=_adapter_name(checkpoint)).eval()
    if _adapter_name(checkpoint) not in model.peft_config:
        model.load_adapter(checkpoint, adapter_name=_adapter_name(checkpoint))
    model.set_adapter(_adapter_name(checkpoint))
    return model.eval()


def _adapter_name(checkpoint: Path) -> str:
    return checkpoint.name.replace(".", "_")  # module names cannot hold dots


def put_weights(model: PreTrainedModel, folder: Path) -> None:
    """Copy the full weights of a folder onto a model of the same shape, in place, cast to its dtype.

    Raises InputError where a tensor of the folder has no place in the model or the other way round.
    """
    places = dict(model.named_parameters())  # tied weights appear once
    found = set()
    for file in sorted(folder.glob("*.safetensors")):
        for name, tensor in load_file(file).items():
            if name not in places:
                continue  # a tied twin, such as lm_head of a model with tied embeddings
            with torch.no_grad():
                places[name].copy_(tensor)
            found.add(name)
    if missing := places.keys() - found:
        raise InputError(f"{folder} lacks {len(missing)} of the model's tensors, e.g. {min(missing)}")


def tensor_names(folder: Path) -> set[str]:
    """Names of all tensors in a folder of safetensors."""
    names: set[str] = set()
    for file in folder.glob("*.safetensors"):
        with safe_open(file, "pt") as tensors:
            names.update(tensors.keys())
    return names
