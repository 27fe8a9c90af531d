"""One rank of a fine-tuning: started by `launch`, or by `torchrun ... -m emflow.training job.json`."""

import sys
from contextlib import nullcontext
from pathlib import Path

from emflow.files import exclusive_lock
from emflow.paths import RunFolder
from emflow.training.processes import as_rank


def main(path: Path) -> None:
    """Exits with one line for errors that the user can mend, or that another rank has caused."""
    with as_rank():
        from emflow.training.finetune import finetune
        from emflow.training.group import joined
        from emflow.training.job import FinetuneJob

        job = FinetuneJob.model_validate_json(path.read_text(encoding="utf-8"))
        with joined() as rank, exclusive_lock(RunFolder(job.out).lock) if rank == 0 else nullcontext():
            finetune(job.start, job.domain, job.method, job.seed, job.train, job.out, job.kl, job.code)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
