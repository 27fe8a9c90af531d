"""The GPUs that a process may use, has used, or was to use."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from emflow.files import InputError

__all__ = ["ask_for_gpu", "usable", "used", "visible"]

ASKED = "EMFLOW_ASKS_FOR_GPU"  # in the environment of a job and of its ranks
DRIVERS = ("/dev/nvidiactl", "/dev/kfd")  # where there is one of NVIDIA's or AMD's GPUs
FOLDERS = Path("/proc/driver/nvidia/gpus")  # one per GPU


def ask_for_gpu(resources: Mapping[str, Any]) -> None:
    """Remember whether a GPU is among a rule's resources, as the profile words them (`gpu`, or `gres`)."""
    asked = resources.get("gpu") or "gpu" in str(resources.get("gres") or "")
    os.environ.update({ASKED: "1"}) if asked else os.environ.pop(ASKED, None)


def usable() -> bool:
    """Whether torch can use a GPU. Raises InputError where one was asked for and is there, and torch cannot: the
    processor would be at work for days."""
    import torch

    found = bool(torch.cuda.is_available())
    if not found and ASKED in os.environ and any(map(os.path.exists, DRIVERS)):
        built = f"CUDA {torch.version.cuda}" if torch.version.cuda else "processors alone"
        raise InputError(
            f"this job asks for a GPU, and torch {torch.__version__}, built for {built}, cannot use it: `make gpu`, "
            "`--sdm conda`, or a newer driver; models.NAME.parameters below 0.1 ask for none"
        )
    return found


def visible() -> list[str]:
    """What CUDA_VISIBLE_DEVICES names, or the numbers of all; none where that cannot be told. CUDA is not started."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is None:
        return [str(number) for number, _ in enumerate(FOLDERS.glob("*"))]
    names = [name.strip() for name in named.split(",")]  # -1 and Slurm's NoDevFiles are none
    return [name for name in names if name.isdecimal() or name.startswith(("GPU-", "MIG-"))]


def used() -> dict[str, list[Any]]:
    """Where this process has loaded torch and used GPUs: their names, and memory in MB, at its peak."""
    torch: Any = sys.modules.get("torch")
    numbers = [n for n in range(torch.cuda.device_count()) if torch.cuda.max_memory_allocated(n)] if torch else []
    return {
        "gpus": [torch.cuda.get_device_name(n) for n in numbers],
        "gpu_peak_mb": [torch.cuda.max_memory_allocated(n) >> 20 for n in numbers],
    }
