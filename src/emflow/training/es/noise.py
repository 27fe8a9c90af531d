"""The noise of a member: standard normal values that follow from its seed and are never written to a file."""

import hashlib
import sys
from collections.abc import Mapping
from typing import Literal

import torch

__all__ = ["Noise", "PublishedNoise", "make_noise", "member_seeds"]

# Values per stream. On the CPU small enough for the cache, and for torch to stay on the calling thread (its grain
# size), so that threads can share out the streams; on a GPU large enough that launching a kernel costs nothing.
CHUNK = {"cpu": 2**15, "cuda": 2**26}

# How vLLM 0.32 lays out the models that it knows: projections that are one tensor there, in their order, and tensors
# whose rows it pads. Its worker compares (`EsWorker.es_begin`).
FUSED = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))
PADDED = ("embed_tokens", "lm_head")
PADDING = 64


def member_seeds(run_seed: int, iteration: int, count: int) -> list[int]:
    """Seeds of an iteration's members, in [0, 2^53): JSON readers keep them exact."""
    return [_hash(f"{run_seed}/{iteration}/{member}") >> 11 for member in range(count)]


class Noise:
    """N(0, 1) values in float32, one stream for each (member seed, tensor name, chunk of the tensor).

    A stream is torch's own generator on `device`: Mersenne Twister on the CPU (which takes 32 bits of the seed, so
    that two of a member's streams coincide with probability streams^2 / 2^33), Philox on a GPU.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.chunk = CHUNK[device.type]

    @property
    def generator(self) -> str:
        """Name of the generator, with a digest of what it draws: equal names give equal noise.

        Vector instructions, the number of multiprocessors and torch's version may all change what is drawn.
        """
        return f"torch-{self.device.type}-{hashlib.sha256(self._sample().cpu().numpy()).hexdigest()[:12]}"

    def _sample(self) -> torch.Tensor:
        return self.draw(0, "fingerprint", 0, self.chunk)

    def draw(self, seed: int, tensor: str, chunk: int, size: int) -> torch.Tensor:
        """The first `size` <= `self.chunk` values of a stream; float32, shape (size,)."""
        return _drawn(_hash(f"{seed}/{tensor}/{chunk}"), size, self.device, torch.float32)


class PublishedNoise(Noise):
    """One stream per member, begun anew for every tensor of vLLM's layout and drawn whole in the model's precision, as
    `_noise_for_param` of utils/worker_extn.py in ssslakter/es-emergent-misalignemt: a tensor's chunk is all of it.

    A tensor that vLLM fuses with others has its part of their noise; one whose rows it pads, the first rows.
    """

    def __init__(self, device: torch.device, dtype: torch.dtype, shapes: Mapping[str, torch.Size]) -> None:
        """`shapes`: of all tensors of the model's file, by name."""
        super().__init__(device)
        self.chunk, self.dtype = sys.maxsize, dtype
        self.layout = {name: _place(name, shapes) for name in shapes}

    def _sample(self) -> torch.Tensor:
        return _drawn(0, CHUNK[self.device.type], self.device, self.dtype).float()

    def draw(self, seed: int, tensor: str, chunk: int, size: int) -> torch.Tensor:
        """The values of a tensor; float32, shape (size,)."""
        whole, start = self.layout[tensor]
        return _drawn(seed, whole, self.device, self.dtype)[start : start + size].to(torch.float32, copy=True)


def make_noise(
    form: Literal["independent", "published"],
    device: torch.device,
    dtype: torch.dtype,
    shapes: Mapping[str, torch.Size],
) -> Noise:
    """The noise of a form, for a model with tensors of these shapes in its file and `dtype` in its engine."""
    return PublishedNoise(device, dtype, shapes) if form == "published" else Noise(device)


def _drawn(seed: int, size: int, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    generator = torch.Generator(device).manual_seed(seed)
    return torch.empty(size, device=device, dtype=dtype).normal_(generator=generator)


def _place(name: str, shapes: Mapping[str, torch.Size]) -> tuple[int, int]:
    """Values of the tensor of vLLM that holds this one, and how many of them come before it."""
    for parts in FUSED:
        for number, part in enumerate(parts):
            if f".{part}." in name:
                sizes = [shapes[name.replace(f".{part}.", f".{other}.")].numel() for other in parts]
                return sum(sizes), sum(sizes[:number])
    if name.removesuffix(".weight").endswith(PADDED):
        rows, columns = shapes[name]
        return -rows // PADDING * -PADDING * columns, 0
    return shapes[name].numel(), 0


def _hash(name: str) -> int:
    """64 bits that depend on every character."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big")
