"""Two ranks: the same log as one; a rank that dies is one clear error, and the run goes on."""

import json
import multiprocessing
import os
import pickle
import signal
import time

import pytest

from emflow.files import InputError, read_jsonl
from emflow.training.es.iteration import Outcome
from emflow.training.es.job import Job
from emflow.training.es.launch import launch
from emflow.training.es.ranks import _read
from emflow.training.es.run import evolve
from emflow.training.processes import RankLost
from ports import listening
from rank_processes import at_work, process_of_rank

pytestmark = pytest.mark.slow


@pytest.fixture
def job(job, method) -> Job:
    return job.model_copy(update={"method": method.model_copy(update={"iterations": 12, "checkpoints": None})})


def test_ranks_listen_on_loopback_alone_and_end_with_who_started_them(job, tmp_path):
    long = job.model_copy(
        update={"method": job.method.model_copy(update={"iterations": 1000}), "out": tmp_path / "two"}
    )
    log = long.out / "train.progress/es_log.jsonl"
    starter = multiprocessing.get_context("fork").Process(target=launch, args=(long, 2))
    starter.start()
    while starter.is_alive() and not (log.exists() and log.read_bytes().count(b"\n") >= 2):
        time.sleep(0.01)
    ranks = at_work(log.with_name("job.json"))
    assert len(ranks) >= 2
    assert listening(ranks) == {"0100007F"}  # 127.0.0.1

    starter.kill()
    starter.join()
    until = time.monotonic() + 20
    while at_work(log.with_name("job.json")):
        assert time.monotonic() < until
        time.sleep(0.05)


def test_what_ranks_send_is_data_and_not_code():
    assert _read(json.dumps({"3": [0.1, None], "4": [None, "x"]}).encode(), dict[int, Outcome], 1) == {
        3: Outcome(0.1, None),
        4: Outcome(None, "x"),
    }
    for sent in (pickle.dumps({3: Outcome(0.1, None)}), b"[1]", b'{"3": ["0x"]}', b"[" * 100_000, b"\xff", b""):
        with pytest.raises(RankLost, match="rank 1 sent something"):
            _read(sent, dict[int, Outcome], 1)


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
