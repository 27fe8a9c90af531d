"""Adapters of vLLM on a CPU: one product for all that have equally many rows of a batch.

vLLM's own (`bgmv_shrink` and `bgmv_expand` in vllm/lora/ops/torch_ops/lora_ops.py of 0.32) copies an adapter's matrices
for each row, which takes longer than the model, and a row without an adapter gets that of the last slot beside others.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch

__all__ = ["GroupedProducts", "group_adapters"]


class Group(NamedTuple):
    """Adapters with equally many rows each."""

    slots: slice | torch.Tensor
    rows: slice | torch.Tensor  # those of the first adapter, then those of the second, ...
    size: int  # rows of each


def group_adapters(model: torch.nn.Module) -> None:
    """Let a model of vLLM's worker, one that serves adapters, multiply so. Not for GPUs, where vLLM has kernels."""
    for wrapper in {layer.punica_wrapper for layer in model.modules() if hasattr(layer, "punica_wrapper")}:
        wrapper.add_lora_linear = GroupedProducts(wrapper)


class GroupedProducts:
    """In place of `add_lora_linear` of a `wrapper`, vLLM's PunicaWrapperCPU, which knows the slot of each row."""

    def __init__(self, wrapper: Any) -> None:
        self.wrapper, self.indices = wrapper, torch.empty(0, dtype=torch.long)
        self.groups: list[Group] = []

    def __call__(
        self,
        y: torch.Tensor,
        x: torch.Tensor,
        shrinking: tuple[torch.Tensor, ...],
        expanding: tuple[torch.Tensor, ...],
        scale: float,
        widths: tuple[int, ...],
        **_: Any,
    ) -> None:
        """Add scale x Aᵀ Bᵀ to each row of `y`, by the A and B of its adapter: stacks of shapes (slots, 1, rank, in)
        and (slots, 1, width, rank) for each of the parts, so wide, that y's columns are."""
        if not self.indices.equal(self.wrapper.token_lora_indices):  # all layers of a step share it
            self.indices = self.wrapper.token_lora_indices.clone()
            self.groups = list(_groups(self.indices))
        for slots, rows, size in self.groups:
            given, moved = (tensor[rows].unflatten(0, (-1, size)) for tensor in (x, y))
            parts = moved[..., : sum(widths)].split(widths, dim=-1)
            for part, a, b in zip(parts, shrinking, expanding, strict=True):
                shrunk, right = torch.bmm(given, a[slots, 0].transpose(1, 2)), b[slots, 0].transpose(1, 2)
                if right.shape[1] == 1:
                    part.addcmul_(shrunk, right, value=scale)
                else:
                    part.baddbmm_(shrunk, right, alpha=scale)
            if isinstance(rows, torch.Tensor):  # else `moved` is y itself
                y[rows] = moved.flatten(0, 1)


def _groups(indices: torch.Tensor) -> Iterator[Group]:
    """Of the slot of each row, -1 for none."""
    order = indices.argsort(stable=True)
    slots, counts = indices[order].unique_consecutive(return_counts=True)
    starts, served = counts.cumsum(0) - counts, slots >= 0
    for size in counts[served].unique().tolist():
        alike = served & (counts == size)
        rows = order[(starts[alike, None] + torch.arange(size)).flatten()]
        yield Group(_slice(slots[alike]), _slice(rows), size)


def _slice(numbers: torch.Tensor) -> slice | torch.Tensor:
    """Consecutive numbers as a slice, which copies nothing."""
    first, count = int(numbers[0]), len(numbers)
    return slice(first, first + count) if numbers.equal(torch.arange(first, first + count)) else numbers
