"""Noise: standard normal, the same whenever it is drawn, and unrelated between tensors, chunks, members, iterations."""

import itertools

import pytest
import torch

from emflow.training.es.noise import Noise, member_seeds

CPU = torch.device("cpu")
SIZE = 4096


@pytest.fixture
def noise() -> Noise:
    return Noise(CPU, "independent")


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


def test_correlated_form_gives_all_tensors_of_a_member_the_same_values():
    noise = Noise(CPU, "correlated")
    assert noise.draw(7, "a", 0, SIZE).equal(noise.draw(7, "b", 0, SIZE))
    assert noise.draw(7, "a", 0, SIZE)[:64].equal(noise.draw(7, "b", 0, 64))  # tensors of other sizes share a prefix
    assert abs(correlations([noise.draw(7, "a", 0, SIZE), noise.draw(8, "a", 0, SIZE)])) < 5


def test_a_stream_is_drawn_the_same_again(noise):
    first = noise.draw(3, "w", 0, SIZE)
    noise.draw(4, "w", 0, SIZE)
    assert first.equal(noise.draw(3, "w", 0, SIZE))


def test_generator_name_tells_what_is_drawn(noise):
    assert noise.generator == Noise(CPU, "independent").generator
    assert noise.generator.startswith("torch-cpu-")


def test_member_seeds_differ_and_are_exact_in_json():
    seeds = [seed for run in range(3) for iteration in range(100) for seed in member_seeds(run, iteration, 30)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**53 for seed in seeds)
