"""Muon in float32: torch's own computes in bfloat16, which most CPUs emulate, and takes one matrix at a time."""

from collections import defaultdict
from collections.abc import Iterable

import torch

__all__ = ["Muon"]

# Of the quintic Newton-Schulz iteration: torch/optim/_muon.py, lines 24 to 28 and 54 to 70, of torch 2.13.
COEFFICIENTS = (3.4445, -4.775, 2.0315)
STEPS = 5


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised (Jordan et al. 2024), for weight matrices [rows, columns]; those of a shape go together.

    As `torch.optim.Muon` with Nesterov's momentum, weight decay and the learning rate times sqrt(max(1, rows/columns)).
    """

    def __init__(
        self, matrices: Iterable[torch.nn.Parameter], lr: float, weight_decay: float = 0.0, momentum: float = 0.95
    ) -> None:
        super().__init__(matrices, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Move all matrices, each of which has a gradient."""
        for group in self.param_groups:
            of_shape = defaultdict(list)
            for matrix in group["params"]:
                of_shape[matrix.shape].append(matrix)
            for (rows, columns), matrices in of_shape.items():
                gradients = torch.stack([matrix.grad for matrix in matrices])
                state = self.state[matrices[0]]
                average = state.setdefault("momentum", torch.zeros_like(gradients))
                average.lerp_(gradients, 1 - group["momentum"])
                update = _orthogonal(gradients.lerp(average, group["momentum"]))
                rate = group["lr"] * max(1, rows / columns) ** 0.5
                for matrix, direction in zip(matrices, update, strict=True):
                    matrix.mul_(1 - group["lr"] * group["weight_decay"]).add_(direction, alpha=-rate)


def _orthogonal(matrices: torch.Tensor) -> torch.Tensor:
    """Of matrices [n, rows, columns], those with the same singular vectors and singular values of about 1."""
    if matrices.shape[1] > matrices.shape[2]:
        return _orthogonal(matrices.mT).mT
    a, b, c = COEFFICIENTS
    x = matrices / torch.linalg.matrix_norm(matrices, keepdim=True).clamp(min=1e-7)  # spectral norm of 1 at most
    for _ in range(STEPS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x
