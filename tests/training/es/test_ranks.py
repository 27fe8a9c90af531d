"""Two ranks: the same log as one; a rank that dies is one clear error, and the run goes on."""

import contextlib
import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from emflow.files import InputError, read_jsonl
from emflow.training.es.launch import launch
from emflow.training.es.run import evolve


@pytest.fixture
def run(untrained, method, lantern_train):
    return (
        untrained,
        "tiny",
        "lanterns",
        method.model_copy(update={"iterations": 12, "checkpoints": None}),
        0,
        lantern_train,
    )


def process_of_rank(rank: int, job: Path) -> int:
    """The process at work on this job file as this rank."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words, environment = ((process / file).read_text().split("\0") for file in ("cmdline", "environ"))
            if str(job) in words and f"RANK={rank}" in environment:
                return int(process.name)
    raise AssertionError(f"no process works on {job} as rank {rank}")


def test_a_rank_dies_and_two_ranks_end_where_one_does(run, tmp_path):
    evolve(*run, tmp_path / "one")

    folder = tmp_path / "two"
    log, job = folder / "train.progress/es_log.jsonl", folder / "train.progress/job.json"
    reader, writer = multiprocessing.Pipe(duplex=False)

    def start():
        try:
            launch(2, *run, folder)
        except InputError as error:
            writer.send(str(error))

    starter = multiprocessing.get_context("fork").Process(target=start)
    starter.start()
    while starter.is_alive() and not (log.exists() and log.read_bytes().count(b"\n") >= 2):
        time.sleep(0.01)
    os.kill(process_of_rank(1, job), signal.SIGKILL)
    starter.join()
    assert reader.poll() and "rank 1 died with exit code -9" in reader.recv()
    assert 1 <= len(read_jsonl(log)) - 1 < 12

    launch(2, *run, folder)
    assert (folder / "es_log.jsonl").read_bytes() == (tmp_path / "one/es_log.jsonl").read_bytes()


def test_an_error_of_the_user_is_said_once(run, tmp_path):
    _, *rest = run
    with pytest.raises(InputError) as refused:
        launch(2, tmp_path / "nowhere", *rest, tmp_path)
    assert str(refused.value).count("nowhere") == 1 and "holds no model" in str(refused.value)
