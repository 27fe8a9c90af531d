"""What a variant does to a model, by hand: along which vector, how far, at which positions."""

from contextlib import nullcontext

import pytest
import torch
from torch.nn.functional import normalize

from emflow.config.directions import Ablate, Add, Random
from emflow.directions.estimate import Direction
from emflow.directions.variants import Variant, variants
from emflow.models.hooks import captured, sites
from emflow.models.loading import load_model

IDS = torch.tensor([[5, 9, 17, 3]])


@pytest.fixture(scope="module")
def model(untrained):
    return load_model(untrained, "float32")


@pytest.fixture(scope="module")
def direction() -> Direction:
    draw = torch.Generator().manual_seed(1)
    names = [f"block.{layer}" for layer in (0, 1)]
    return Direction(
        vectors={name: 3 * torch.randn(64, generator=draw) for name in names},
        base_mean={name: torch.randn(64, generator=draw) for name in names},
        base_norm={name: torch.tensor(2.0 + number) for number, name in enumerate(names)},
    )


def passing(model, variant: Variant | None = None, ids=IDS, cache=None) -> dict[str, torch.Tensor]:
    """What passes the outputs of the layers."""
    seen: dict[str, torch.Tensor] = {}
    under = variant.apply(model) if variant else nullcontext()
    with under, captured(sites(model, "blocks"), seen.__setitem__), torch.inference_mode():
        model(input_ids=ids, past_key_values=cache, use_cache=cache is not None)
    return seen


def test_adding_goes_along_the_direction_and_not_against_it(model, direction):
    (variant,) = variants(Add(kind="add", direction="shift", layers=(0,), coefficients=(1.5,)), direction)
    moved = passing(model, variant)["block.0"] - passing(model)["block.0"]
    wanted = 1.5 * 2.0 * normalize(direction.vectors["block.0"], dim=0)
    torch.testing.assert_close(moved[0], wanted.expand(4, -1), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("positions", "moves"), [("all", (True, True)), ("prompt", (True, False)), ("answer", (False, True))]
)
def test_adding_stays_with_its_positions(model, direction, positions, moves):
    from transformers import DynamicCache

    steer = Add(kind="add", direction="shift", layers=(1,), coefficients=(1,), positions=positions)
    (variant,) = variants(steer, direction)
    for number, moved in enumerate(moves):  # a prompt, and a token of its answer
        given = {"ids": IDS if number == 0 else IDS[:, :1]}
        plain, under = DynamicCache(), DynamicCache()
        if number:
            for cache in (plain, under):
                passing(model, None, IDS, cache)
        one, other = passing(model, None, cache=plain, **given), passing(model, variant, cache=under, **given)
        assert torch.equal(one["block.1"], other["block.1"]) == (not moved)


@pytest.mark.parametrize("to", ["zero", "base_mean"])
@pytest.mark.parametrize("from_layer", [None, 1])
def test_an_ablation_sets_the_component_along_the_named_vector(model, direction, to, from_layer):
    ablation = Ablate(kind="ablate", direction="shift", to=to, from_layer=from_layer)
    (variant,) = variants(ablation, direction)
    for site, x in passing(model, variant).items():
        unit = normalize(direction.vectors[site if from_layer is None else "block.1"], dim=0)
        wanted = 0.0 if to == "zero" else float(direction.base_mean[site] @ unit)
        torch.testing.assert_close(x[0] @ unit, torch.full((4,), wanted), atol=1e-4, rtol=0)


def test_random_directions_follow_from_their_seed(model, direction):
    def drawn(draw: int) -> list[torch.Tensor]:
        of = Random(kind="random", direction="shift", number=2, draw=draw)
        return [passing(model, variant)["block.1"] for variant in variants(of, direction)]

    first, again, other = drawn(0), drawn(0), drawn(1)
    assert all(map(torch.equal, first, again)) and not torch.equal(first[0], first[1])
    assert not any(torch.equal(one, two) for one in first for two in other)
    steer = Add(kind="add", direction="shift", layers=(0,), coefficients=(1,), random=1)
    beside = [
        passing(model, variants(steer.model_copy(update={"draw": draw}), direction, "layer-0-x1")[1])["block.0"]
        for draw in (0, 1)
    ]
    assert not torch.equal(*beside)
