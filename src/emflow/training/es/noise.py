"""The noise of a member: standard normal values that are drawn anew whenever they are needed, and never stored."""

import hashlib
from typing import Literal

import torch

__all__ = ["Noise", "member_seeds"]

# Values per stream. On the CPU small enough for the cache, and for torch to stay on the calling thread (its grain
# size), so that threads can share out the streams; on a GPU large enough that launching a kernel costs nothing.
CHUNK = {"cpu": 2**15, "cuda": 2**26}


def member_seeds(run_seed: int, iteration: int, count: int) -> list[int]:
    """Seeds of an iteration's members, in [0, 2^53): JSON readers keep them exact."""
    return [_hash(f"{run_seed}/{iteration}/{member}") >> 11 for member in range(count)]


class Noise:
    """N(0, 1) values in float32, one stream for each (member seed, tensor name, chunk of the tensor).

    In the `correlated` form the name is left out: all tensors of a member begin with the same values, as in public
    code that re-seeds one generator for every tensor.

    A stream is torch's own generator on `device`: Mersenne Twister on the CPU (which takes 32 bits of the seed, so
    that two of a member's streams coincide with probability streams^2 / 2^33), Philox on a GPU.
    """

    def __init__(self, device: torch.device, form: Literal["independent", "correlated"]) -> None:
        self.device, self.form = device, form
        self.chunk = CHUNK[device.type]

    @property
    def generator(self) -> str:
        """Name of the generator, with a digest of what it draws: equal names give equal noise.

        Vector instructions, the number of multiprocessors and torch's version may all change what is drawn.
        """
        drawn = self.draw(0, "fingerprint", 0, self.chunk).cpu().numpy()
        return f"torch-{self.device.type}-{hashlib.sha256(drawn).hexdigest()[:12]}"

    def draw(self, seed: int, tensor: str, chunk: int, size: int) -> torch.Tensor:
        """The first `size` <= `self.chunk` values of a stream; float32, shape (size,)."""
        name = tensor if self.form == "independent" else ""
        generator = torch.Generator(self.device).manual_seed(_hash(f"{seed}/{name}/{chunk}"))
        return torch.empty(size, device=self.device).normal_(generator=generator)


def _hash(name: str) -> int:
    """64 bits that depend on every character."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big")
