"""The processes that share an ES run: each holds the whole model and evaluates its share of the members.

Only rewards travel, over gloo; every rank applies the same update by itself. The group is one of our own beside
torch's default one, which vLLM takes for itself within each rank.
"""

import os
import pickle
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch.distributed import PrefixStore, ProcessGroupGloo, rendezvous

__all__ = ["LOST", "RankLost", "Ranks"]

LOST = "another rank is gone"

T = TypeVar("T")
TIMEOUT = timedelta(hours=1)  # for the slowest rank of an iteration; a rank that dies is noticed at once


class RankLost(Exception):
    """Another rank is gone, or has come to other results."""


class Ranks:
    """This process among `size`; numbered by `rank`, from 0."""

    def __init__(self) -> None:
        """Join those that torchrun started together with this process; alone where it started none."""
        self.rank, self.size = 0, int(os.environ.get("WORLD_SIZE", "1"))
        if self.size > 1:
            store, self.rank, self.size = next(rendezvous("env://"))
            self.group = ProcessGroupGloo(PrefixStore("emflow", store), self.rank, self.size, TIMEOUT)

    def share(self, members: Sequence[T]) -> Sequence[T]:
        """This rank's part of the members."""
        return members[self.rank :: self.size]

    def gather(self, mine: T) -> list[T]:
        """What each rank holds, in the order of ranks; on every rank. Raises RankLost where one is gone."""
        if self.size == 1:
            return [mine]
        data = torch.frombuffer(bytearray(pickle.dumps(mine)), dtype=torch.uint8)
        sizes = [int(size) for size in self._gather(torch.tensor([len(data)]))]
        padded = torch.nn.functional.pad(data, (0, max(sizes) - len(data)))
        got = self._gather(padded)
        return [pickle.loads(bytes(each[:size].tolist())) for each, size in zip(got, sizes, strict=True)]

    def agree(self, mine: Any, what: str) -> None:
        """Raises RankLost where ranks hold different values."""
        held = self.gather(mine)
        if differ := [rank for rank, value in enumerate(held) if value != held[0]]:
            raise RankLost(f"ranks {differ} differ from rank 0 in {what}: their hardware or their software differs")

    def _gather(self, mine: torch.Tensor) -> list[torch.Tensor]:
        """Tensors of one shape, from every rank."""
        room = [torch.empty_like(mine) for _ in range(self.size)]
        try:
            self.group.allgather([room], [mine]).wait()
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            raise RankLost(f"rank {self.rank} of {self.size}: {LOST} ({reason})") from None
        return room
