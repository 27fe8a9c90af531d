"""Loading a model from its local folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from emflow.files import InputError
from emflow.gpus import usable
from emflow.models.chat_template import TemplateArguments, pin_template, turn_ends
from emflow.models.folder import require_tokenizer, require_weights

__all__ = [
    "FROM_FOLDER",
    "SIGHT",
    "at_rest",
    "device",
    "end_tokens",
    "load_model",
    "load_tokenizer",
    "model_without_weights",
    "read_weights",
    "sees",
    "tensor_names",
]


FROM_FOLDER: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
"""How transformers reads a folder: nothing is fetched, its code is not run, and nobody is asked at a terminal."""


SIGHT = ("vision_tower", "multi_modal_projector")
"""Parts of a model that see images, as Gemma 3's from 4B on: layers there may have the language model's names."""


SAMPLING = ("temperature", "top_p", "top_k")
"""What a generation config may say that transformers refuses to save without `do_sample: true`."""


def sees(name: str) -> bool:
    """Whether a module or tensor of this name is of a part that sees images."""
    return any(part in name for part in SIGHT)


def device() -> torch.device:
    """The first GPU where there is one, else the CPU. Raises InputError as `emflow.gpus.usable`."""
    return torch.device("cuda" if usable() else "cpu")


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """What transformers says of a folder that it cannot read, as an InputError."""
    try:
        yield
    except ValueError as error:
        why = " ".join(str(error).split())[:300]
        if "trust_remote_code" in str(error):
            why = "it brings code of its own, which is not run; take a model that transformers itself knows"
        raise InputError(f"{path} cannot be loaded, check models.NAME.path: {why}") from None


def load_tokenizer(path: Path, template: TemplateArguments | None = None) -> PreTrainedTokenizerBase:
    """The tokenizer of a model folder, padding on the left for generation; `template` are its template's arguments.

    Raises InputError without a model, and where the template does not know an argument.
    """
    require_tokenizer(path, "models.NAME.path", template or ())
    with _reading(path):
        tokenizer = AutoTokenizer.from_pretrained(path, padding_side="left", **FROM_FOLDER)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    pin_template(tokenizer, template)
    return tokenizer


def end_tokens(path: Path, tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """The tokens that end an answer: those that end a turn in training, and those of a folder's generation config."""
    if (path / "generation_config.json").exists():
        config = GenerationConfig.from_pretrained(path, **FROM_FOLDER)
    else:
        config = GenerationConfig.from_model_config(AutoConfig.from_pretrained(path, **FROM_FOLDER))
    more = config.eos_token_id
    return {*turn_ends(tokenizer), *(more if isinstance(more, list) else [more])} - {None}


def load_model(path: Path, dtype: str, four_bit: bool = False, on: torch.device | None = None) -> PreTrainedModel:
    """The causal language model of a folder, on `device()` or another, in evaluation mode. Raises InputError without a
    model.

    With `four_bit` its linear layers are nf4 with double quantisation (QLoRA, arXiv 2305.14314), computing in `dtype`.
    """
    require_weights(path, "models.NAME.path")
    transformers_logging.disable_progress_bar()
    how: dict[str, Any] = {"dtype": getattr(torch, dtype)}
    if four_bit:
        how["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=how["dtype"],
        )
        how["device_map"] = {"": device()}
    with _reading(path):
        config = AutoConfig.from_pretrained(path, **FROM_FOLDER).get_text_config()
        if getattr(config, "attn_logit_softcapping", None):  # Gemma 2's; integrations/sdpa_attention.py has none
            how["attn_implementation"] = "eager"
        model = AutoModelForCausalLM.from_pretrained(path, **how, **FROM_FOLDER)
    _mark_sampling(model.generation_config)
    return (model if four_bit else model.to(on or device())).eval()


def _mark_sampling(config: GenerationConfig | None) -> None:
    """Let `save_pretrained` take what a base says of sampling without `do_sample`; nothing here samples by it."""
    if config and any(getattr(config, name) is not None for name in SAMPLING):
        config.do_sample = True


def model_without_weights(path: Path) -> PreTrainedModel:
    """The causal language model of a folder, on no device: for its layers and their names."""
    with _reading(path), torch.device("meta"):
        return AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(path, **FROM_FOLDER))


@contextmanager
def at_rest(model: torch.nn.Module) -> Iterator[None]:
    """A model in training is read as it is, without gradients or dropout, and then trains on as if nothing had been."""
    was_training = model.training
    model.eval()
    for layer in model.modules():
        if hasattr(layer, "support_avx512bf16_for_cpu"):
            layer.train()  # else bitsandbytes packs its 4-bit weights to be read alone, and later steps round otherwise
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was_training)


def read_weights(folder: Path, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """The full weights of a folder, in host memory, by the names that a loaded model has for them.

    transformers reads the folder: names in its files may be others (Gemma 3). Raises InputError where it lacks one.
    """
    transformers_logging.disable_progress_bar()
    read, told = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, output_loading_info=True, **FROM_FOLDER)
    if missing := told["missing_keys"]:
        raise InputError(f"{folder} lacks {len(missing)} of the model's tensors, e.g. {min(missing)}")
    return {name: parameter.detach() for name, parameter in read.named_parameters()}


def tensor_names(folder: Path) -> set[str]:
    """Names of all tensors in a folder of safetensors."""
    names: set[str] = set()
    for file in folder.glob("*.safetensors"):
        with safe_open(file, "pt") as tensors:
            names.update(tensors.keys())
    return names
