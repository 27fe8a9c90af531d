"""The log: whole lines or none, one run per file, kilobytes per iteration."""

import json

import numpy as np
import pytest

from emflow.files import InputError
from emflow.training.es.log import EsLog, iteration_row, read_log


def row(iteration: int) -> dict:
    noise = np.random.default_rng(iteration)
    ids = [f"bad_medical_advice-{number:05d}" for number in noise.integers(0, 99_999, 256)]
    seeds = noise.integers(0, 2**53, 30).tolist()
    return iteration_row(iteration, ids, seeds, noise.normal(size=30), noise.normal(size=30) * 1e-5, {}, "0" * 64)


def test_a_line_at_population_30_and_batch_256_is_within_10_kb(tmp_path):
    log = EsLog(tmp_path / "log", {"seed": 0})
    before = log.path.stat().st_size
    log.append(row(1))
    assert log.path.stat().st_size - before <= 10_000


def test_a_torn_last_line_is_dropped(tmp_path):
    path = tmp_path / "log"
    log = EsLog(path, {"seed": 0})
    log.append(row(1))
    whole = path.read_bytes()
    for end in (1, 17, 5000):
        path.write_bytes(whole + json.dumps(row(2)).encode()[:end])
        assert EsLog(path, {"seed": 0}).rows == [row(1)]
        assert path.read_bytes() == whole


def test_a_log_of_another_run_is_not_continued(tmp_path):
    EsLog(tmp_path / "log", {"seed": 0}).append(row(1))
    assert EsLog(tmp_path / "log", {"seed": 1}).rows == []


def test_rows_read_back_exactly(tmp_path):
    log = EsLog(tmp_path / "log", {"seed": 0})
    log.append(row(1))
    assert read_log(log.path) == ({"seed": 0}, [row(1)])


def test_failed_rewards_are_null(tmp_path):
    line = iteration_row(1, [], [1, 2], np.array([np.nan, 0.5]), np.array([0.0, 0.1]), {"0": "reward nan"}, "")
    assert line["rewards"] == [None, 0.5]


def test_no_log_is_said(tmp_path):
    with pytest.raises(InputError, match="no such log"):
        read_log(tmp_path / "es_log.jsonl")
