"""Many members in one forward pass of a transformers model: to each row what its member's noise adds."""

from typing import Any

import torch
from torch.nn import Linear

from emflow.training.es.low_rank import Factors

__all__ = ["MembersRows"]


class MembersRows:
    """Makes a layer's output x Wᵀ + (x B_i) A_iᵀ for the rows of member i; called with the factors of the next members.

    The rows of a batch are the members', one after the other and as many of each. Without factors nothing is added.
    """

    def __init__(self, model: torch.nn.Module, matrices: list[str]) -> None:
        self.factors: Factors = {}
        self.dtype = next(model.parameters()).dtype
        for name in matrices:
            model.get_submodule(name.removesuffix(".weight")).register_forward_hook(self._adding(name))

    def __call__(self, factors: Factors) -> None:
        self.factors = {name: (a.to(self.dtype).transpose(1, 2), b.to(self.dtype)) for name, (a, b) in factors.items()}

    def _adding(self, name: str) -> Any:
        def add(_layer: Linear, given: tuple[torch.Tensor], output: torch.Tensor) -> torch.Tensor:
            if not self.factors:
                return output
            a, b = self.factors[name]
            x = given[0].reshape(len(b), -1, b.shape[1])
            return output.view(len(a), -1, a.shape[2]).baddbmm_(torch.bmm(x, b), a).view_as(output)

        return add
