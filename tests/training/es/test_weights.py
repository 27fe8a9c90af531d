"""Weights: what is perturbed comes back bit for bit, what is updated moves, and neither needs memory for a model."""

import re
from pathlib import Path

import pytest
import torch

from emflow.training.es.noise import Noise, member_seeds
from emflow.training.es.weights import Weights

CPU = torch.device("cpu")
SHAPES = {"embed": (300, 128), "norm": (128,), "proj": (128, 257)}


def make(dtype: torch.dtype, decay: float = 0.0, keep: bool = False) -> Weights:
    generator = torch.Generator().manual_seed(0)
    masters = {name: 0.05 * torch.randn(shape, generator=generator) for name, shape in SHAPES.items()}
    masters["norm"].fill_(1.0)
    targets = {name: torch.empty(shape, dtype=dtype) for name, shape in SHAPES.items()}
    return Weights(masters, targets, Noise(CPU), decay, keep)


def engine_tensors(weights: Weights) -> list[torch.Tensor]:
    return [chunk.target.clone() for chunk in weights.chunks]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_thirty_members_leave_no_trace(dtype):
    weights = make(dtype)
    before, masters = engine_tensors(weights), weights.digest()
    for seed in member_seeds(0, 1, 30):
        weights.perturb([(seed, 0.001)])
    assert not all(a.equal(b) for a, b in zip(before, engine_tensors(weights), strict=True))
    weights.restore()
    assert all(a.equal(b) for a, b in zip(before, engine_tensors(weights), strict=True))
    assert weights.digest() == masters


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_member_is_the_cast_of_master_plus_noise(dtype):
    weights = make(dtype)
    weights.perturb([(11, 0.01)])
    for chunk in weights.chunks:
        noise = weights.noise.draw(11, chunk.tensor, chunk.number, len(chunk.master))
        assert chunk.target.equal((chunk.master + noise * 0.01).to(dtype))


def test_an_update_of_the_published_size_moves_the_masters():
    weights = make(torch.float16)
    before = {name: master.clone() for name, master in weights.masters.items()}
    z = torch.linspace(-1.7, 1.7, 30)
    weights.update(member_seeds(0, 1, 30), (0.0005 / 30 * z).tolist())
    moved = torch.cat([(weights.masters[name] != before[name]).flatten() for name in SHAPES])
    assert moved.float().mean() >= 0.999
    size = torch.cat([(weights.masters[name] - before[name]).flatten() for name in SHAPES]).std()
    torch.testing.assert_close(size, 0.0005 / 30 * z.square().sum().sqrt(), rtol=0.02, atol=0)


def test_an_update_is_the_sum_of_coefficient_times_noise():
    weights = make(torch.float32)
    before = weights.masters["proj"].double().flatten()
    weights.update([5, 6, 7], [0.25, 0.0, -0.5])
    draws = [
        torch.cat([weights.noise.draw(seed, "proj", 0, 2**15), weights.noise.draw(seed, "proj", 1, 128 * 257 - 2**15)])
        for seed in (5, 7)
    ]
    expected = before + 0.25 * draws[0] - 0.5 * draws[1]
    torch.testing.assert_close(weights.masters["proj"].double().flatten(), expected, rtol=0, atol=1e-6)


def test_threads_do_not_change_a_bit(monkeypatch):
    digests = []
    for threads in (1, 3):
        # not set_num_threads: what it says holds no longer once another OpenMP runtime is loaded
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        weights = make(torch.bfloat16)
        weights.update([1, 2], [0.1, -0.1])
        weights.perturb([(9, 0.01)])
        digests.append((weights.digest(), [tensor.tolist() for tensor in engine_tensors(weights)]))
    assert weights.threads == 3
    assert digests[0] == digests[1]


def test_kept_noise_changes_no_bit_and_is_drawn_once(monkeypatch):
    """Two iterations, a member's sign turned; seed 3 was on another rank."""
    found = []
    for keep in (False, True):
        weights, drawn = make(torch.bfloat16, keep=keep), []
        draw = weights.noise.draw
        monkeypatch.setattr(
            weights.noise, "draw", lambda *stream, draw=draw, drawn=drawn: drawn.append(stream) or draw(*stream)
        )
        members = []
        for seeds in ([1, 2], [4, 5]):
            for seed, sigma in zip([*seeds, seeds[0]], (0.01, 0.01, -0.01), strict=True):
                weights.perturb([(seed, sigma)])
                members += engine_tensors(weights)
            weights.update([*seeds, 3], [0.1, -0.2, 0.3])
        streams = len(weights.chunks)
        assert len(drawn) == 2 * streams * (3 if keep else 6)
        assert not weights.kept
        found.append((weights.digest(), [tensor.tolist() for tensor in members]))
    assert found[0] == found[1]


def test_decay_leads_back_to_the_start():
    weights = make(torch.float32, decay=0.5)
    start = weights.masters["proj"].clone()
    weights.update([1], [1.0])
    far = (weights.masters["proj"] - start).norm()
    weights.update([], [])
    torch.testing.assert_close((weights.masters["proj"] - start).norm(), far / 2)


def test_memory_holds_a_chunk_per_thread_beyond_masters_and_engine():
    status, forget = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    if not forget.exists():
        pytest.skip("needs Linux's /proc to tell the peak of memory")
    size = 2**24  # 64 MiB of masters
    weights = Weights({"w": torch.ones(size)}, {"w": torch.ones(size, dtype=torch.float16)}, Noise(CPU))

    def peak() -> int:
        return int(re.search(r"VmHWM:\s+(\d+) kB", status.read_text())[1])

    forget.write_text("5")
    before = peak()
    weights.perturb([(1, 0.001)])
    weights.update([1, 2], [0.1, 0.2])
    assert peak() - before < 8 * 1024
