"""Two ranks: the same log as one; a rank that dies is one clear error, and the run goes on."""

import contextlib
import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from emflow.files import InputError, read_jsonl
from emflow.training.es.job import Job
from emflow.training.es.launch import launch
from emflow.training.es.run import evolve


@pytest.fixture
def job(job, method) -> Job:
    return job.model_copy(update={"method": method.model_copy(update={"iterations": 12, "checkpoints": None})})


def process_of_rank(rank: int, path: Path) -> int:
    """The process at work on this job as this rank."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words, environment = ((process / file).read_text().split("\0") for file in ("cmdline", "environ"))
            if str(path) in words and f"RANK={rank}" in environment:
                return int(process.name)
    raise AssertionError(f"no process works on {path} as rank {rank}")


def test_a_rank_dies_and_two_ranks_end_where_one_does(job, tmp_path):
    evolve(job)

    two = job.model_copy(update={"out": tmp_path / "two"})
    progress = two.out / "train.progress"
    log = progress / "es_log.jsonl"
    reader, writer = multiprocessing.Pipe(duplex=False)

    def start():
        try:
            launch(two, 2)
        except InputError as error:
            writer.send(str(error))

    starter = multiprocessing.get_context("fork").Process(target=start)
    starter.start()
    while starter.is_alive() and not (log.exists() and log.read_bytes().count(b"\n") >= 2):
        time.sleep(0.01)
    os.kill(process_of_rank(1, progress / "job.json"), signal.SIGKILL)
    starter.join()
    assert reader.poll() and "rank 1 died with exit code -9" in reader.recv()
    assert 1 <= len(read_jsonl(log)) - 1 < 12

    launch(two, 2)
    assert (two.out / "es_log.jsonl").read_bytes() == (job.out / "es_log.jsonl").read_bytes()


def test_an_error_of_the_user_is_said_once(job, tmp_path):
    with pytest.raises(InputError) as refused:
        launch(job.model_copy(update={"start": tmp_path / "nowhere"}), 2)
    assert str(refused.value).count("nowhere") == 1 and "holds no model" in str(refused.value)
