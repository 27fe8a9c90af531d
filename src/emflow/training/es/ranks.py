"""The processes that share an ES run: each holds the whole model and evaluates its share of the members.

Only rewards travel, as JSON over gloo, and are checked on arrival: nothing that a socket brings is run. Every rank
applies the same update by itself. The group is one of our own beside torch's default one, which vLLM takes for itself
within each rank.
"""

import json
import os
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
from pydantic import TypeAdapter, ValidationError
from torch.distributed import PrefixStore, ProcessGroupGloo, rendezvous

from emflow.files import digest_text
from emflow.training.processes import LOST, RENDEZVOUS, RankLost

__all__ = ["Ranks"]

T = TypeVar("T")
TIMEOUT = timedelta(hours=1)  # for the slowest rank of an iteration; a rank that dies is noticed at once


class Ranks:
    """This process among `size`; numbered by `rank`, from 0."""

    def __init__(self) -> None:
        """Join those that were started together with this process; alone where none were."""
        self.rank, self.size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
        if self.size > 1:
            place = os.environ.get(RENDEZVOUS, "env://")
            store, self.rank, self.size = next(rendezvous(place, self.rank, self.size))
            self.group = ProcessGroupGloo(PrefixStore("emflow", store), self.rank, self.size, TIMEOUT)

    def share(self, members: Sequence[T]) -> Sequence[T]:
        """This rank's part of the members."""
        return members[self.rank :: self.size]

    def gather(self, mine: object, shape: type[T]) -> list[T]:
        """What each rank holds, in the order of ranks; on every rank. It is of the type `shape`, and JSON can hold it.

        Floats arrive exactly. Raises RankLost where a rank is gone, or has sent something of another shape.
        """
        if self.size == 1:
            return [cast(T, mine)]
        data = torch.frombuffer(bytearray(json.dumps(mine, allow_nan=False).encode()), dtype=torch.uint8)
        sizes = [int(size) for size in self._gather(torch.tensor([len(data)]))]
        padded = torch.nn.functional.pad(data, (0, max(sizes) - len(data)))
        got = [bytes(each[:size].tolist()) for each, size in zip(self._gather(padded), sizes, strict=True)]
        return [_read(each, shape, rank) for rank, each in enumerate(got)]

    def agree(self, mine: Any, what: str) -> None:
        """Raises RankLost where ranks hold different values, which JSON can hold."""
        held = self.gather(digest_text(json.dumps(mine, sort_keys=True)), str)
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


def _read(data: bytes, shape: type[T], rank: int) -> T:
    try:
        return TypeAdapter(shape).validate_python(json.loads(data))
    except (ValueError, RecursionError, ValidationError):
        raise RankLost(f"rank {rank} sent something that no rank of this run sends") from None
