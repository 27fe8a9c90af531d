"""The ranks that train one model together, as torch's default process group; one alone has none."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar, cast

import torch
from torch import distributed

from emflow.gpus import usable
from emflow.training.processes import LOST, RENDEZVOUS, RankLost

__all__ = ["agreed", "is_first", "joined", "together"]

PATIENCE = timedelta(hours=1)  # of the others while the first rank writes a large model to a slow disk
T = TypeVar("T")


@contextmanager
def joined() -> Iterator[int]:
    """Meet the ranks that were started together with this one, which is given its number; a GPU each where there are
    GPUs. Raises RankLost where another one is gone meanwhile."""
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    if on_gpus := usable():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    backend = "cpu:gloo,cuda:nccl" if on_gpus else "gloo"
    meeting = os.environ.get(RENDEZVOUS, "env://")
    distributed.init_process_group(backend, meeting, timeout=PATIENCE, rank=rank, world_size=size)
    try:
        yield rank
    except RuntimeError as error:
        if not isinstance(error, distributed.DistError) and "gloo" not in str(error):
            raise
        raise RankLost(f"rank {rank} of {size}: {LOST} ({str(error).splitlines()[0]})") from None
    distributed.destroy_process_group()


def is_first() -> bool:
    """Whether this rank writes files: rank 0, or a process alone."""
    return not distributed.is_initialized() or distributed.get_rank() == 0


def agreed(value: T) -> T:
    """What the first rank holds, on every rank; JSON can hold it."""
    if not distributed.is_initialized():
        return value
    data = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)
    size = torch.tensor([len(data)])
    distributed.broadcast(size, 0)
    if not is_first():
        data = torch.empty(int(size), dtype=torch.uint8)
    distributed.broadcast(data, 0)
    return cast(T, json.loads(bytes(data.tolist())))


def together() -> None:
    """Wait for every rank."""
    if distributed.is_initialized():
        distributed.barrier()
