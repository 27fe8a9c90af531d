"""Starts a fine-tuning on several ranks of this machine; one is run in place.

On several machines, the same job file is run by torchrun on each: see docs/several_gpus.md.
"""

import torch

from emflow.files import write_text
from emflow.models.checkpoints import Checkpoint, read_index
from emflow.paths import RunFolder
from emflow.training import __main__ as rank
from emflow.training.finetune import finetune
from emflow.training.job import FinetuneJob
from emflow.training.processes import run_ranks

__all__ = ["launch"]


def launch(job: FinetuneJob, threads: int) -> list[Checkpoint]:
    """`finetune` by as many processes as the method has ranks, with so many CPU threads in all, and a GPU each where
    there are GPUs.

    Raises InputError with the error of the rank that failed.
    """
    ranks = job.method.ranks
    if ranks == 1:
        torch.set_num_threads(threads)
        return finetune(job.start, job.domain, job.method, job.seed, job.train, job.out, job.kl, job.code)
    folder = RunFolder(job.out)
    path = folder.progress / "job.json"
    write_text(path, job.model_dump_json(indent=1) + "\n")
    run_ranks(rank, path, ranks, max(1, threads // ranks))
    return read_index(folder.index)
