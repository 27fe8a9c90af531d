"""An intervention of the config as what is done to a model, in one variant or in several of other layer or strength."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from emflow.config.directions import Ablate, Ablation, Add, Intervention, Only, Random, Scaling, Without
from emflow.directions.estimate import Direction
from emflow.files import InputError
from emflow.models.adapters import scaled_adapter
from emflow.models.hooks import AnyModel, Positions, ablate, add, changed
from emflow.models.sites import layer_of

__all__ = ["Variant", "variants"]


@dataclass(frozen=True)
class Variant:
    """What is done to a model while it answers, and the columns that say so."""

    name: str
    apply: Callable[[AnyModel], AbstractContextManager[None]]
    columns: dict[str, Any] = field(default_factory=dict)


def variants(intervention: Intervention, direction: Direction | None, chosen: str | None = None) -> list[Variant]:
    """All variants, or the one that was `chosen`, by its name, with the random ones beside it.

    `direction` is what the intervention's kind and source name, None where it takes none. Raises InputError where it
    has no such site.
    """
    match intervention:
        case Ablate():
            assert direction is not None
            sites = _sites(intervention, direction)
            return [
                _ablation("", intervention, direction, {site: _vector(intervention, direction, site) for site in sites})
            ]
        case Random():
            assert direction is not None
            return [
                _ablation(f"random-{number}", intervention, direction, vectors)
                for number, vectors in enumerate(_random(intervention, direction))
            ]
        case Add():
            assert direction is not None
            grid = list(product(intervention.layers, intervention.coefficients))
            if chosen is None:
                return [_addition(intervention, direction, *each) for each in grid]
            (best,) = (each for each in grid if _strength(*each) == chosen)
            return [_addition(intervention, direction, *best), *_random_additions(intervention, direction, *best)]
        case Scaling():
            return [_scaling(k, *of, f"x{k:g}") for of in _adapters(intervention) for k in intervention.factors]
        case Without():
            return [_scaling(0.0, *of) for of in _adapters(intervention)]
        case Only():
            return [_scaling(0.0, *of, others=True) for of in _adapters(intervention)]


def _sites(intervention: Ablation, direction: Direction) -> list[str]:
    """Those of the direction that the intervention names."""
    every = _of_kind(intervention, direction)
    if unknown := sorted(set(intervention.layers or ()) - set(map(layer_of, every))):
        raise InputError(
            f"directions.interventions.NAME.layers names {unknown[0]}, and among sites: {intervention.sites} there are "
            f"layers {min(map(layer_of, every))} to {max(map(layer_of, every))}"
        )
    return [site for site in every if intervention.layers is None or layer_of(site) in intervention.layers]


def _of_kind(intervention: Ablation, direction: Direction) -> list[str]:
    found = [site for site in direction.vectors if site.startswith("block") == (intervention.sites == "blocks")]
    if intervention.sites == "layer_writes":
        found = [site for site in found if layer_of(site) >= 0]
    if not found:
        raise InputError(f"the direction has no site among sites: {intervention.sites}")
    return found


def _vector(intervention: Ablation, direction: Direction, site: str) -> Tensor:
    own = intervention.from_layer is None
    return _at(direction, site if own else f"block.{intervention.from_layer}")


def _at(direction: Direction, site: str) -> Tensor:
    if site not in direction.vectors:
        raise InputError(
            f"the direction has no layer {layer_of(site)}: the last one is {max(map(layer_of, direction.vectors))}"
        )
    return direction.vectors[site]


def _random(intervention: Random, direction: Direction) -> list[dict[str, Tensor]]:
    """Directions that are uniform over all; one for all sites where `from_layer` takes one for all."""
    generator = torch.Generator().manual_seed(intervention.draw)
    sites = _sites(intervention, direction)
    drawn = []
    for _ in range(intervention.number):
        width = direction.vectors[sites[0]].shape
        each = {site: torch.randn(width, generator=generator) for site in sites}
        drawn.append(each if intervention.from_layer is None else dict.fromkeys(sites, each[sites[0]]))
    return drawn


def _ablation(name: str, intervention: Ablation, direction: Direction, vectors: dict[str, Tensor]) -> Variant:
    changes = {}
    for site, vector in vectors.items():
        mean = float(direction.base_mean[site] @ normalize(vector, dim=0))
        changes[site] = ablate(vector, mean if intervention.to == "base_mean" else 0.0)
    layers = sorted({layer_of(site) for site in vectors})
    every = vectors.keys() >= set(_of_kind(intervention, direction))
    columns = {
        "sites": intervention.sites,
        "positions": "all",
        "layers": "all" if every else " ".join(map(str, layers)),
        "from_layer": intervention.from_layer,
        "to": intervention.to,
    }
    return Variant(name, _changing(changes, "all"), columns)


def _addition(
    intervention: Add, direction: Direction, layer: int, coefficient: float, instead: Tensor | None = None
) -> Variant:
    """The direction at a layer, or another `instead`, (width,), of the same length."""
    site = f"block.{layer}"
    vector = _at(direction, site) if instead is None else instead
    length = coefficient * float(direction.base_norm[site])
    columns = {
        "sites": "blocks", "layers": str(layer), "positions": intervention.positions,
        "coefficient": coefficient, "coefficient_absolute": length,
    }  # fmt: skip
    changes = {site: add(length * normalize(vector, dim=0))}
    return Variant(_strength(layer, coefficient), _changing(changes, intervention.positions), columns)


def _strength(layer: int, coefficient: float) -> str:
    return f"layer-{layer}-x{coefficient:g}"


def _random_additions(intervention: Add, direction: Direction, layer: int, coefficient: float) -> list[Variant]:
    """Directions that are uniform over all, of the length of the chosen one."""
    generator = torch.Generator().manual_seed(intervention.draw)
    shape = _at(direction, f"block.{layer}").shape
    found = []
    for number in range(intervention.random):
        variant = _addition(intervention, direction, layer, coefficient, torch.randn(shape, generator=generator))
        found.append(replace(variant, name=f"random-{number}", columns=variant.columns | {"kind": "random"}))
    return found


def _changing(changes: dict[str, Any], positions: Positions) -> Callable[[AnyModel], AbstractContextManager[None]]:
    return lambda model: changed(model, changes, positions)


def _adapters(intervention: Scaling | Without | Only) -> list[tuple[int | None, str | None]]:
    """Layer and module of what is scaled, removed or kept alone; None for all of them."""
    return list(product(intervention.layers or [None], intervention.modules or [None]))


def _scaling(
    factor: float, layer: int | None, module: str | None, times: str | None = None, others: bool = False
) -> Variant:
    told = filter(None, [None if layer is None else f"layer-{layer}", module, times])
    columns = {"coefficient": factor, "layers": "all" if layer is None else str(layer), "sites": module}
    return Variant("-".join(told), lambda model: scaled_adapter(model, factor, layer, module, others), columns)
