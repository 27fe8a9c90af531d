"""The weights of an ES run: float32 masters, and the engine's tensors that are always a cast of them.

A member is cast(master + sigma * noise), written over the engine's tensors, so restoring is a cast of the master and
exact. Noise is drawn chunk by chunk on all cores: beyond masters (4 bytes per weight) and engine, memory holds one
chunk per thread, and two in an update. (Of a model so small that this is nothing, the members' noise may be kept until
the update, which then draws none.) Products and sums are rounded one by one (no fused multiply-add), so that results
depend neither on the number of threads nor on vector instructions.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import safe_open

from emflow.files import InputError
from emflow.training.es.noise import Noise

__all__ = ["Weights", "read_masters"]


class _Chunk(NamedTuple):
    tensor: str
    number: int  # within the tensor
    master: torch.Tensor  # views, flat
    target: torch.Tensor
    start: torch.Tensor | None


class Weights:
    """Masters by tensor name, and where each lies in the engine.

    `targets` holds a tensor of the same shape for every master, of any floating dtype; `decay` > 0 keeps a second
    float32 copy, of the weights that the run started from; `keep` the noise of all members between two updates.
    `members` are in place: one, or the model itself.
    """

    def __init__(
        self,
        masters: dict[str, torch.Tensor],
        targets: dict[str, torch.Tensor],
        noise: Noise,
        decay: float = 0.0,
        keep: bool = False,
    ) -> None:
        self.masters, self.noise, self.decay, self.members = masters, noise, decay, 1
        self.keep, self.kept = keep, dict[tuple[int, str, int], torch.Tensor]()
        starts = {name: master.clone() for name, master in masters.items()} if decay else None
        self.chunks = list(_chunks(masters, targets, starts, noise.chunk))
        self.threads = 1 if noise.device.type == "cuda" else min(torch.get_num_threads(), len(self.chunks))
        self.pool = ThreadPoolExecutor(self.threads)
        self.restore()

    def perturb(self, members: Sequence[tuple[int, float]]) -> None:
        """Put the only member, a seed and its sigma, into the engine: cast(master + sigma * noise)."""
        ((seed, sigma),) = members

        def put(chunk: _Chunk) -> None:
            chunk.target.copy_(self._scaled(seed, chunk, sigma, self.keep).add_(chunk.master))

        self._each(put)

    def restore(self) -> None:
        """Put the masters themselves into the engine."""
        self._each(lambda chunk: chunk.target.copy_(chunk.master))

    def update(self, seeds: Sequence[int], coefficients: Sequence[float]) -> None:
        """Move the masters by the sum of coefficient times noise, then a share `decay` of the way to the start."""
        terms = [(seed, coefficient) for seed, coefficient in zip(seeds, coefficients, strict=True) if coefficient]
        if not (terms or self.decay):
            self.kept.clear()
            return

        def move(chunk: _Chunk) -> None:
            step = torch.zeros_like(chunk.master)
            for seed, coefficient in terms:
                step.add_(self._scaled(seed, chunk, coefficient))
            chunk.master.add_(step)
            if chunk.start is not None:
                chunk.master.add_((chunk.start - chunk.master).mul_(self.decay))

        self._each(move)
        self.kept.clear()

    def _scaled(self, seed: int, chunk: _Chunk, factor: float, keep: bool = False) -> torch.Tensor:
        """A member's noise on a chunk times `factor`, float32; the noise itself is kept until the update, if at all."""
        key = seed, chunk.tensor, chunk.number
        noise = self.kept.get(key)
        if noise is None:
            noise = self.noise.draw(*key, len(chunk.master))
            if not keep:
                return noise.mul_(factor)
            self.kept[key] = noise
        return noise * factor

    def digest(self) -> str:
        """sha256 over the masters' names and float32 bytes in the order of names, in hex."""
        names = sorted(self.masters)
        each = self.pool.map(lambda name: hashlib.sha256(self.masters[name].cpu().numpy()).digest(), names)
        total = hashlib.sha256()
        for name, digest in zip(names, each, strict=True):
            total.update(name.encode() + b"\0" + digest)
        return total.hexdigest()

    def _each(self, work: Callable[[_Chunk], object]) -> None:
        """Do `work` on all chunks, shared out among the threads."""

        def share(thread: int) -> None:
            with torch.inference_mode():
                for chunk in self.chunks[thread :: self.threads]:
                    work(chunk)

        if self.threads == 1:  # on a GPU: in the stream of who computes with these weights
            return share(0)
        for done in [self.pool.submit(share, thread) for thread in range(self.threads)]:
            done.result()


def _chunks(
    masters: dict[str, torch.Tensor],
    targets: dict[str, torch.Tensor],
    starts: dict[str, torch.Tensor] | None,
    size: int,
) -> Iterator[_Chunk]:
    def split(tensor: torch.Tensor) -> Sequence[torch.Tensor]:
        parts: Sequence[torch.Tensor] = tensor.detach().view(-1).split(size)
        return parts

    for name, master in masters.items():
        start = split(starts[name]) if starts else repeat(None)
        for number, views in enumerate(zip(split(master), split(targets[name]), start, strict=False)):
            yield _Chunk(name, number, *views)


def read_masters(folder: Path, names: Sequence[str], device: torch.device) -> dict[str, torch.Tensor]:
    """The named tensors of a folder of safetensors, in float32 on `device`.

    Raises InputError where one is missing.
    """
    masters: dict[str, torch.Tensor] = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "pt") as tensors:
            for name in set(tensors.keys()) & set(names):
                masters[name] = tensors.get_tensor(name).to(device, torch.float32, copy=True).contiguous()
    if missing := set(names) - masters.keys():
        raise InputError(f"{folder} lacks {len(missing)} of the model's tensors, e.g. {min(missing)}")
    return masters
