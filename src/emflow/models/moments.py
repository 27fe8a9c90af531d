"""Means and second moments of activations by groups of answers, summed up as they pass: no activation is kept."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from emflow.files import replacing

__all__ = ["Moments", "Readings", "read_moments", "write_moments"]


@dataclass
class Moments:
    """Weighted sums over answers of their mean activations, float64, a row per group.

    An answer counts by the mean over its tokens, as in Chen et al. (arXiv 2507.21509), so that long ones weigh no more.
    """

    total: Tensor  # (groups, width): of weight * mean activation
    square: Tensor  # (groups, width): of weight * its square
    length: Tensor  # (groups,): of weight * mean norm of the tokens' activations
    weight: Tensor  # (groups,)

    @classmethod
    def none(cls, groups: int, width: int) -> "Moments":
        """Before the first answer."""
        return cls(*(torch.zeros(*shape, dtype=torch.float64) for shape in ((groups, width),) * 2 + ((groups,),) * 2))

    def add(self, x: Tensor, mask: Tensor, weights: Tensor) -> None:
        """Add a batch: `x` (batch, length, width), `mask` bool (batch, length): the tokens that count, at least one of
        each answer; `weights` (batch, groups), 0 where an answer is no part of a group."""
        shares = (mask / mask.sum(dim=1, keepdim=True)).to(x.device, torch.float32)
        # a token that does not count may hold anything, also NaN: it is left out, not multiplied by 0
        kept = x.float().masked_fill(~mask.to(x.device)[..., None], 0)
        means = torch.einsum("bl,blw->bw", shares, kept).double().cpu()
        norms = (shares * kept.norm(dim=-1)).sum(dim=1).double().cpu()
        weights = weights.double().cpu()
        self.total += weights.T @ means
        self.square += weights.T @ means.square()
        self.length += weights.T @ norms
        self.weight += weights.sum(dim=0)

    @property
    def mean(self) -> Tensor:
        """(groups, width); NaN for a group without answers."""
        return self.total / self.weight[:, None]

    @property
    def variance(self) -> Tensor:
        """Of the answers' means around the group's, by dimension, (groups, width)."""
        return self.square / self.weight[:, None] - self.mean.square()

    @property
    def norm(self) -> Tensor:
        """Mean norm of a token's activation, (groups,)."""
        return self.length / self.weight


Readings = Mapping[str, Mapping[str, Moments]]
"""By the name of a reading (who read what) and by site."""


def write_moments(readings: Readings, path: Path) -> None:
    """Write as safetensors `READING/SITE/PART`, float64."""
    tensors = {
        f"{reading}/{site}/{part}": tensor
        for reading, by_site in readings.items()
        for site, moments in by_site.items()
        for part, tensor in vars(moments).items()
    }
    with replacing(path) as temporary:
        save_file(tensors, temporary)


def read_moments(path: Path) -> Readings:
    """Read what `write_moments` wrote."""
    parts: dict[str, dict[str, dict[str, Any]]] = {}
    for name, tensor in load_file(path).items():
        reading, site, part = name.split("/")
        parts.setdefault(reading, {}).setdefault(site, {})[part] = tensor
    return {
        reading: {site: Moments(**tensors) for site, tensors in by_site.items()} for reading, by_site in parts.items()
    }
