"""What vLLM's worker learns for evolution strategies: to move its own weights, in place, where they lie."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import torch

from emflow.files import InputError
from emflow.inference.vllm_engine import pack_weights
from emflow.models.loading import tensor_names
from emflow.training.es.engines.vllm_slots import MemberSlots
from emflow.training.es.low_rank import LowRankWeights
from emflow.training.es.noise import PublishedNoise, make_noise
from emflow.training.es.weights import Weights, read_masters

__all__ = ["EsWorker"]


class EsWorker:
    """Mixed into vLLM's worker by `worker_extension_cls`; called by `collective_rpc`."""

    model_runner: Any  # the worker's

    def es_begin(
        self, start: str, noise: Literal["independent", "published"], decay: float, rank: int, matrices: list[str]
    ) -> str:
        """Take the folder's weights as masters; returns the name of the noise's generator.

        `rank` is 0 for noise of full rank, else that of the noise on `matrices`. Raises InputError where this model's
        weights lie otherwise than in its file.
        """
        model, folder = self.model_runner.get_model(), Path(start)
        device = next(model.parameters()).device
        masters = read_masters(folder, _untied(tensor_names(folder), model), device)
        targets = dict(_targets(model, masters))
        for name, master in masters.items():
            if name not in targets or not targets[name].equal(master.to(targets[name].dtype)):
                raise InputError(f"vLLM holds {name} of {folder} in another form; set engine.kind: transformers")
        shapes = {name: master.shape for name, master in masters.items()}
        drawn = make_noise(noise, device, next(model.parameters()).dtype, shapes)
        if isinstance(drawn, PublishedNoise):
            _check_layout(drawn, targets)
        if rank:
            place = MemberSlots(self.model_runner.lora_manager, matrices)
            self.es_weights: Weights = LowRankWeights(masters, targets, drawn, decay, rank, matrices, place)
        else:
            self.es_weights = Weights(masters, targets, drawn, decay)
        return drawn.generator

    def es(self, move: str, *arguments: Any) -> Any:
        """Call a method of `Weights`."""
        result = getattr(self.es_weights, move)(*arguments)
        if move in ("perturb", "restore"):
            pack_weights(self.model_runner.get_model())
        return result

    def es_forget(self) -> None:
        """Zeros in place of all keys and values that the cache holds."""
        for tensor in _tensors(self.model_runner.kv_caches):
            tensor.zero_()


def _tensors(nested: Any) -> Iterator[torch.Tensor]:
    """Those in lists of lists, whose depth differs by kind of attention."""
    if isinstance(nested, torch.Tensor):
        yield nested
    else:
        for part in nested:
            yield from _tensors(part)


def _check_layout(noise: PublishedNoise, targets: dict[str, torch.Tensor]) -> None:
    """Raises InputError where vLLM's tensors are not those on which the noise is drawn."""
    for name, target in targets.items():
        whole = target.untyped_storage().nbytes() // target.element_size()
        if noise.layout[name] != (whole, target.storage_offset()):
            raise InputError(f"vLLM lays out {name} otherwise than noise: published follows; set noise: independent")


def _untied(names: set[str], model: torch.nn.Module) -> list[str]:
    """Without the output layer where it is the embedding: its file may hold it all the same."""
    return sorted(names - ({"lm_head.weight"} if model.config.tie_word_embeddings else set()))


def _targets(model: torch.nn.Module, masters: dict[str, torch.Tensor]) -> Iterator[tuple[str, torch.Tensor]]:
    """Where each tensor of the file lies in vLLM: in a tensor of its own name, padded perhaps, or among the rows of
    one that several were packed into (q, k and v)."""
    wrapped = ".base_layer."  # where vLLM serves adapters
    held = {name.replace(wrapped, "."): parameter.detach() for name, parameter in model.named_parameters()}
    for name, master in masters.items():
        if name in held:
            yield name, held[name][: len(master)]
            continue
        for packed, parts in model.packed_modules_mapping.items():
            for number, part in enumerate(parts):
                whole = name.replace(f".{part}.", f".{packed}.")
                if whole != name and whole in held:
                    above = sum(len(masters[name.replace(f".{part}.", f".{p}.")]) for p in parts[:number])
                    yield name, held[whole][above : above + len(master)]
