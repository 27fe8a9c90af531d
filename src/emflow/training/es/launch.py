"""Starts an ES run on several ranks of this machine; one is run in place.

On several machines, the same job file is run by torchrun on each: see docs/evolution_strategies.md.
"""

import torch

from emflow.files import write_text
from emflow.paths import RunFolder
from emflow.training.es import __main__ as rank
from emflow.training.es.job import Job
from emflow.training.es.run import evolve
from emflow.training.processes import run_ranks

__all__ = ["launch"]


def launch(job: Job, ranks: int) -> None:
    """`evolve` by `ranks` processes, each with one CPU thread, and a GPU of its own where there are GPUs.

    Raises InputError with the error of the rank that failed.
    """
    if ranks == 1:
        torch.set_num_threads(1)
        evolve(job)
        return
    path = RunFolder(job.out).progress / "job.json"
    write_text(path, job.model_dump_json(indent=1) + "\n")
    run_ranks(rank, path, ranks)
