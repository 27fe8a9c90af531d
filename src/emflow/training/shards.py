"""A model whose weights lie in shards on several ranks, by torch's FSDP2 (Zhao et al., arXiv 2304.11277), and the same
files from it as from a whole one: a run may go on with another number of ranks.

Its distributed state dictionaries give whole tensors to the first rank, which alone writes and reads.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import DistributedType
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.tensor import DTensor
from transformers import TrainingArguments
from transformers.trainer import OPTIMIZER_NAME, SCHEDULER_NAME

from emflow.models.loading import read_weights
from emflow.training.group import is_first
from emflow.training.ranked import RankedTrainer

__all__ = ["SHARDS", "ShardedTrainer", "full_weights"]

SHARDS = {"version": 2, "auto_wrap_policy": "TRANSFORMER_BASED_WRAP", "state_dict_type": "FULL_STATE_DICT"}
"""`fsdp_config` of TrainingArguments: a unit for each layer of the decoder."""
WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)
FROM_FIRST = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True, strict=False)  # tied weights: once


def full_weights(model: torch.nn.Module) -> dict[str, Any] | None:
    """Whole tensors of a model in shards by name, on the first rank; None for a model that is whole."""
    if not any(isinstance(weight, DTensor) for weight in model.parameters()):
        return None
    state: dict[str, Any] = get_model_state_dict(model, options=WHOLE)
    for tied in getattr(model, "all_tied_weights_keys", ()):
        state.pop(tied, None)
    return state


class ShardedTrainer(RankedTrainer):
    """Trains a model in shards."""

    def __init__(self, *, args: TrainingArguments, **given: Any) -> None:
        if args.device.type == "cpu":  # accelerate shards on accelerators alone, by this name; torch does on any device
            PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU
        super().__init__(args=args, **given)
        plugin = self.accelerator.state.fsdp_plugin
        # what a family does not want split may name parts that see images, which this model may lack
        plugin.transformer_cls_names_to_wrap = [type(self.model.get_decoder().layers[0]).__name__]
        if plugin.mixed_precision_policy is not None:  # sums of many ranks' gradients in float32, as on one
            plugin.mixed_precision_policy = replace(plugin.mixed_precision_policy, reduce_dtype=torch.float32)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        for tied in getattr(self.model, "all_tied_weights_keys", ()):
            (state_dict or {}).pop(tied, None)
        super()._save(output_dir, state_dict)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        state = read_weights(Path(resume_from_checkpoint), self.model.dtype) if is_first() else {}
        set_model_state_dict(model, state, options=FROM_FIRST)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        state = get_optimizer_state_dict(self.model, self.optimizer, options=WHOLE)
        if is_first():
            number = {name: n for n, name in enumerate(_names(state))}
            torch.save(_renamed(state, number), Path(output_dir) / OPTIMIZER_NAME)
            torch.save(self.lr_scheduler.state_dict(), Path(output_dir) / SCHEDULER_NAME)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None:
            return
        state = get_optimizer_state_dict(self.model, self.optimizer, options=WHOLE)
        if is_first():
            names = dict(enumerate(_names(state)))
            plain = torch.load(Path(checkpoint) / OPTIMIZER_NAME, map_location="cpu", weights_only=True)
            state = _renamed(plain, names)
        set_optimizer_state_dict(self.model, self.optimizer, state, options=FROM_FIRST)
        self.lr_scheduler.load_state_dict(torch.load(Path(checkpoint) / SCHEDULER_NAME, weights_only=True))


def _names(state: dict[str, Any]) -> list[str]:
    """Weights in the optimizer's order, by which torch numbers them in a state of its own."""
    return [name for group in state["param_groups"] for name in group["params"]]


def _renamed(state: dict[str, Any], names: Mapping[Any, Any]) -> dict[str, Any]:
    """An optimizer's state under other names of the weights."""
    groups = [{**group, "params": [names[name] for name in group["params"]]} for group in state["param_groups"]]
    return {"state": {names[name]: held for name, held in state["state"].items()}, "param_groups": groups}
