"""Liger's fused kernels (Hsu et al., arXiv 2410.10989), which transformers' Trainer puts into a model as it starts."""

from importlib.util import find_spec
from pathlib import Path

import torch
from transformers import AutoConfig

from emflow.config.finetune import Finetune
from emflow.files import InputError
from emflow.models.loading import FROM_FOLDER

__all__ = ["require_liger"]


def require_liger(method: Finetune, base: Path) -> None:
    """Raises InputError where the method asks for the kernels and they cannot run here, or not in this model.

    Trainer would say nothing of a family without kernels, and train it plainly.
    """
    if method.liger_kernel and (why := _hindrance(base)):
        raise InputError(f"methods.NAME.liger_kernel {why}, or set liger_kernel: false")


def _hindrance(base: Path) -> str | None:
    if not torch.cuda.is_available():
        return "needs a GPU (CUDA or ROCm), and there is none here: run the job where one is"
    if find_spec("liger_kernel") is None:
        return "needs liger-kernel, which is not installed here: pip install liger-kernel"
    from liger_kernel.transformers.monkey_patch import MODEL_TYPE_TO_APPLY_LIGER_FN as families

    family = AutoConfig.from_pretrained(base, **FROM_FOLDER).model_type
    return None if family in families else f"has no kernels for {family}, the family of {base}: take another model"
