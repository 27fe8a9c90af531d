"""One rank of an ES run: started by `launch`, or by `torchrun ... -m emflow.training.es job.json`."""

import os
import sys
from contextlib import nullcontext
from pathlib import Path

from emflow import gpus
from emflow.files import InputError, exclusive_lock
from emflow.paths import RunFolder
from emflow.training.processes import as_rank


def main(path: Path) -> None:
    """Exits with one line for errors that the user can mend, or that another rank has caused."""
    with as_rank():
        _see_one_gpu(int(os.environ.get("LOCAL_RANK", "0")))
        from emflow.training.es.job import Job
        from emflow.training.es.ranks import Ranks
        from emflow.training.es.run import evolve

        job, ranks = Job.model_validate_json(path.read_text(encoding="utf-8")), Ranks()
        # the ranks of a killed start may still be at work on the log
        with exclusive_lock(RunFolder(job.out).lock) if ranks.rank == 0 else nullcontext():
            evolve(job, ranks)


def _see_one_gpu(number: int) -> None:
    """Before CUDA starts: of the GPUs that this process may use, keep one; of none, none. Raises InputError where the
    others took all."""
    seen = gpus.visible()
    if not seen and "CUDA_VISIBLE_DEVICES" in os.environ:
        return
    if seen and number >= len(seen):
        raise InputError(
            f"rank {number} of this machine finds {len(seen)} GPUs, one per rank: fewer by methods.NAME.ranks"
        )
    os.environ["CUDA_VISIBLE_DEVICES"] = seen[number] if seen else str(number)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
