"""One rank of an ES run: `torchrun --nproc-per-node 4 -m emflow.training.es job.json`; see `launch`."""

import os
import sys
from contextlib import nullcontext
from pathlib import Path

from emflow.files import InputError, alone

ERROR = "error: "


def main(path: Path) -> None:
    """Exits with one line for errors that the user can mend, or that another rank has caused."""
    _see_one_gpu(int(os.environ.get("LOCAL_RANK", "0")))
    from emflow.training.es.job import Job
    from emflow.training.es.ranks import RankLost, Ranks
    from emflow.training.es.run import evolve

    job, ranks = Job.model_validate_json(path.read_text()), Ranks()
    try:
        # the ranks of a killed start may still be at work on the log
        with alone(job.out / ".evolve.lock") if ranks.rank == 0 else nullcontext():
            evolve(job, ranks)
    except (InputError, RankLost) as error:
        sys.stderr.write(f"{ERROR}{error}\n")  # at once: ranks share the stream
        sys.exit(1)


def _see_one_gpu(number: int) -> None:
    """Before CUDA starts: of the GPUs that this process may use, keep one."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    os.environ["CUDA_VISIBLE_DEVICES"] = visible.split(",")[number] if visible else str(number)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
