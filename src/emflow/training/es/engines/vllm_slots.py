"""Many members in one batch of vLLM: their factors in the slots that it holds for adapters, without a file."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch

from emflow.files import InputError
from emflow.training.es.low_rank import Factors

if TYPE_CHECKING:
    from vllm.lora.request import LoRARequest

__all__ = ["MemberSlots", "member_request"]


def member_request(number: int) -> "LoRARequest":
    """What says that a row is this member's; numbered from 1."""
    from vllm.lora.request import LoRARequest

    return LoRARequest(f"member {number}", number, "in memory")


class MemberSlots:
    """Called with the factors of the next members: the slots of `member_request` 1, 2, ...

    vLLM (0.32) has no call for adapters from memory, but loads none whose number it knows: dummies are entered under
    the numbers, and their slots written to.
    """

    def __init__(self, manager: Any, names: Sequence[str]) -> None:
        """`manager` is the worker's LRUCacheWorkerLoRAManager. Raises InputError where a matrix has no slots."""
        adapters = manager._adapter_manager
        numbers = list(range(1, adapters.lora_slots + 1))
        with manager.dummy_lora_cache():
            for number in numbers:
                manager.add_dummy_lora(member_request(number), rank=1)
                adapters.activate_adapter(number)
        assert adapters.lora_index_to_id == numbers
        manager.add_adapter = lambda _request: True  # all stay; vLLM would list them all for each, at every step
        self.slots = dict(_slots(adapters))
        if missing := set(names) - self.slots.keys():
            raise InputError(f"vLLM serves no adapter on {min(missing)}; set engine.kind: transformers")

    def __call__(self, factors: Factors) -> None:
        for name, (scaled, right) in factors.items():
            shrink, expand = self.slots[name]
            members, _, rank = right.shape
            shrink[:members, 0, :rank].copy_(right.transpose(1, 2))
            expand[:members, 0, :, :rank].copy_(scaled)


def _slots(manager: Any) -> Iterator[tuple[str, tuple[torch.Tensor, torch.Tensor]]]:
    """By the model's own name of a matrix: slots of shapes (slots, 1, room, in) and (slots, 1, out, room)."""
    for name, layer in manager.modules.items():
        above, last = name.rpartition(".")[::2]
        parts = manager.model.packed_modules_mapping.get(last, [last])
        if isinstance(layer.lora_a_stacked, tuple):
            for part, *stacked in zip(parts, layer.lora_a_stacked, layer.lora_b_stacked, strict=True):
                yield f"{above}.{part}.weight", (stacked[0], stacked[1])
