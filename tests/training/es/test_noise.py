"""Noise: standard normal, the same whenever it is drawn, and unrelated between tensors, chunks, members, iterations."""

import itertools

import pytest
import torch

from emflow.training.es.noise import Noise, PublishedNoise, member_seeds

CPU = torch.device("cpu")
SIZE = 4096


@pytest.fixture
def noise() -> Noise:
    return Noise(CPU)


def correlations(streams: list[torch.Tensor]) -> torch.Tensor:
    """Of all pairs, in units of their expected spread 1 / sqrt(n)."""
    return torch.tensor([torch.dot(a, b) / len(a) ** 0.5 for a, b in itertools.combinations(streams, 2)])


def test_values_are_standard_normal(noise):
    values = noise.draw(1, "w", 0, noise.chunk).double()
    n = len(values)
    assert abs(values.mean()) < 5 / n**0.5
    assert abs(values.var() - 1) < 5 * (2 / n) ** 0.5
    assert abs((values**4).mean() - 3) < 5 * (96 / n) ** 0.5


def test_streams_of_tensors_chunks_members_and_iterations_are_unrelated(noise):
    seeds = [seed for iteration in (1, 2) for seed in member_seeds(0, iteration, 3)]
    names = ("q_proj.weight", "k_proj.weight", "v_proj.weight")
    streams = [noise.draw(seed, name, chunk, SIZE) for seed in seeds for name in names for chunk in (0, 1)]
    spread = correlations(streams)  # 630 pairs
    assert spread.abs().max() < 5
    assert 0.8 < spread.std() < 1.2
    assert abs(spread.mean()) < 5 / len(spread) ** 0.5


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_published_noise_is_drawn_on_fused_and_padded_tensors(dtype):
    shapes = {  # of a model's file
        "model.embed_tokens.weight": (70, 8),
        "layers.0.self_attn.q_proj.weight": (24, 8),
        "layers.0.self_attn.k_proj.weight": (8, 8),
        "layers.0.self_attn.v_proj.weight": (8, 8),
        "layers.0.self_attn.q_proj.bias": (24,),
        "layers.0.self_attn.k_proj.bias": (8,),
        "layers.0.self_attn.v_proj.bias": (8,),
        "layers.0.mlp.gate_proj.weight": (20, 8),
        "layers.0.mlp.up_proj.weight": (20, 8),
        "layers.0.mlp.down_proj.weight": (8, 20),
        "norm.weight": (8,),
    }
    noise = PublishedNoise(CPU, dtype, {name: torch.Size(shape) for name, shape in shapes.items()})

    def own(*names: str) -> torch.Tensor:
        return torch.cat(
            [noise.draw(7, name, 0, torch.Size(shapes[name]).numel()).view(shapes[name]) for name in names]
        )

    def whole(*shape: int) -> torch.Tensor:
        return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(7)).float()

    q, k, v = (f"layers.0.self_attn.{part}_proj" for part in "qkv")
    assert own(f"{q}.weight", f"{k}.weight", f"{v}.weight").equal(whole(40, 8))
    assert own(f"{q}.bias", f"{k}.bias", f"{v}.bias").equal(whole(40))
    assert own("layers.0.mlp.gate_proj.weight", "layers.0.mlp.up_proj.weight").equal(whole(40, 8))
    assert own("layers.0.mlp.down_proj.weight").equal(whole(8, 20))
    assert own("norm.weight").equal(whole(8))
    assert own("model.embed_tokens.weight").equal(whole(128, 8)[:70])


def test_a_stream_is_drawn_the_same_again(noise):
    first = noise.draw(3, "w", 0, SIZE)
    noise.draw(4, "w", 0, SIZE)
    assert first.equal(noise.draw(3, "w", 0, SIZE))


def test_generator_name_tells_what_is_drawn(noise):
    assert noise.generator == Noise(CPU).generator
    assert noise.generator.startswith("torch-cpu-")


def test_member_seeds_differ_and_are_exact_in_json():
    seeds = [seed for run in range(3) for iteration in range(100) for seed in member_seeds(run, iteration, 30)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**53 for seed in seeds)
