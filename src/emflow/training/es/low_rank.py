"""Members whose noise is of low rank: A Bᵀ / sqrt(rank) for each matrix (EGGROLL, arXiv 2511.16652, section 4).

No member's matrix is ever written: an engine adds to each row of its batch what that row's member differs by, so many
members answer at once. As in src/hyperscalees/noiser/eggroll.py of ESHyperscale/HyperscaleES, A and B come from one
stream, embeddings stay as they are, and so do vectors (`freeze_nonlora` there). What else stays: `matrices`.

The update of a matrix is one product, (A_1 c_1, A_2 c_2, ...) (B_1, B_2, ...)ᵀ. Its factors are numbers on grids, so
few digits long that float64 holds every sum of their products exactly: the order in which threads or a GPU add them
changes no bit.
"""

from collections.abc import Callable, Collection, Sequence
from math import frexp, sqrt

import torch
from torch.nn import Linear, Module

from emflow.files import InputError
from emflow.models.loading import sees
from emflow.training.es.noise import Noise
from emflow.training.es.weights import Weights

__all__ = ["Factors", "LowRankWeights", "matrices"]

Factors = dict[str, tuple[torch.Tensor, torch.Tensor]]
"""By matrix of shape (out, in): A times its scale and B of all members, (members, out, rank), (members, in, rank)."""

# Bits: the noise is below 2^3 and a multiple of 2^-16 (19 digits), A times its coefficient gets 24, and a sum of 2^10
# products of both has 19 + 24 + 10 = 53, which is what float64 holds.
GRID = 2.0**-16
NOISE_BELOW, DIGITS, TERMS = 3, 24, 2**10
BLOCK = 2**20  # values of a matrix that are moved at once


def matrices(model: Module) -> list[str]:
    """Names of the tensors that move: the matrices of the layers, without biases, embeddings and the output layer.

    The output layer is often the embedding itself, and vLLM serves no adapter on it. Raises InputError without any.
    """
    head = model.get_output_embeddings()
    names = [
        f"{name}.weight"
        for name, layer in model.named_modules()
        if isinstance(layer, Linear) and layer is not head and not sees(name)
    ]
    if not names:
        raise InputError("this model has no linear layers: set perturbation.kind: full_rank")
    if stacked := [name for name, weight in model.named_parameters() if weight.ndim > 2 and not sees(name)]:
        raise InputError(
            f"low-rank noise moves linear layers, and {stacked[0]}, as experts are, is none: set perturbation.kind: "
            "full_rank"
        )
    return names


class LowRankWeights(Weights):
    """See `Weights`; many members are in place at once.

    `place` gives the engine the factors of the members to come, none by `{}`.
    """

    def __init__(
        self,
        masters: dict[str, torch.Tensor],
        targets: dict[str, torch.Tensor],
        noise: Noise,
        decay: float,
        rank: int,
        matrices: Collection[str],
        place: Callable[[Factors], object],
    ) -> None:
        self.rank, self.matrices, self.place = rank, sorted(matrices), place
        super().__init__(masters, targets, noise, decay)

    @torch.inference_mode()
    def perturb(self, members: Sequence[tuple[int, float]]) -> None:
        """Put these members, each a seed and its sigma, beside the masters."""
        super().restore()
        seeds = [seed for seed, _ in members]
        scales = torch.tensor([sigma / sqrt(self.rank) for _, sigma in members], device=self.noise.device)
        factors: Factors = {}
        for name in self.matrices:
            a, b = self._draw(name, seeds)
            factors[name] = a * scales[:, None, None], b
        self.place(factors)
        self.members = len(members)

    def restore(self) -> None:
        """Put the masters themselves into the engine."""
        super().restore()
        self.place({})
        self.members = 1

    @torch.inference_mode()
    def update(self, seeds: Sequence[int], coefficients: Sequence[float]) -> None:
        """See `Weights`."""
        terms = [(seed, move) for seed, move in zip(seeds, coefficients, strict=True) if move]
        for name in self.matrices if terms else ():
            a, b = self._draw(name, [seed for seed, _ in terms])
            self._move(self.masters[name], *_exact(a, [move / sqrt(self.rank) for _, move in terms], b))
        if self.decay:
            super().update([], [])

    def _move(self, master: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> None:
        """Add left @ right, of shapes (out, terms) and (terms, in), block by block."""
        size = max(1, BLOCK // master.shape[1])
        for rows, part in zip(master.split(size), left.split(size), strict=True):
            moved = rows.double()
            for some, others in zip(part.split(TERMS, dim=1), right.split(TERMS), strict=True):
                moved += some @ others
            rows.copy_(moved)

    def _draw(self, name: str, seeds: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """A and B of a matrix for each seed, float32, of shapes (seeds, out, rank) and (seeds, in, rank)."""
        shape = self.masters[name].shape
        size = sum(shape) * self.rank
        starts = range(0, size, self.noise.chunk)
        drawn = [
            self.noise.draw(seed, name, number, min(self.noise.chunk, size - start))
            for seed in seeds
            for number, start in enumerate(starts)
        ]
        both = torch.cat(drawn).div_(GRID).round_().mul_(GRID).view(len(seeds), sum(shape), self.rank)
        a, b = both.split(list(shape), dim=1)
        return a, b


def _exact(a: torch.Tensor, scales: Sequence[float], b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A times its scale and Bᵀ in float64, of shapes (out, seeds x rank) and (seeds x rank, in), on their grids."""
    step = 2.0 ** (frexp(max(map(abs, scales)))[1] + NOISE_BELOW - DIGITS)
    scaled = a.double() * torch.tensor(scales, dtype=torch.float64, device=a.device)[:, None, None]
    left = scaled.div_(step).round_().mul_(step)
    return left.transpose(0, 1).flatten(1), b.double().transpose(1, 2).flatten(0, 1)
