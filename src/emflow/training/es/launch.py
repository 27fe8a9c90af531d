"""Starts an ES run on several ranks of this machine, by torchrun; one is run in place.

On several machines, the same job file is run by torchrun on each: see docs/evolution_strategies.md.
"""

import logging
import os
import re
import subprocess
import sys

import torch

from emflow.files import InputError, write_text
from emflow.training.es.__main__ import ERROR
from emflow.training.es.job import Job
from emflow.training.es.ranks import LOST
from emflow.training.es.run import evolve

__all__ = ["launch"]


def launch(job: Job, ranks: int) -> None:
    """`evolve` by `ranks` processes, each with one CPU thread, and a GPU of its own where there are GPUs.

    Raises InputError with the error of the rank that failed.
    """
    if ranks == 1:
        torch.set_num_threads(1)
        evolve(job)
        return
    path = job.out / "train.progress" / "job.json"
    write_text(path, job.model_dump_json(indent=1) + "\n")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"]
    command, threads = [*torchrun, "-m", "emflow.training.es", str(path)], {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, env=os.environ | threads, stderr=subprocess.PIPE, text=True) as process:
        said = []
        for line in process.stderr:
            said.append(line)
            logging.getLogger("emflow.ranks").info(line.rstrip())
    if process.returncode:
        raise InputError(f"{_reason(said)}; see the rule's log; another start continues after the last iteration")


def _reason(said: list[str]) -> str:
    """The error of the rank that failed first: its own words, or else torchrun's."""
    errors = [line.removeprefix(ERROR).strip() for line in said if line.startswith(ERROR)]
    own = [error for error in errors if LOST not in error]  # who lost a rank is not who failed
    cause = re.search(r"Root Cause.*?rank\s*: (\d+).*?exitcode\s*: (-?\d+)", "".join(said), re.DOTALL)
    died = [f"rank {cause[1]} died with exit code {cause[2]}"] if cause else []
    return [*own, *died, *errors, "torchrun failed"][0]
