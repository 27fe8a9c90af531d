"""The log: whole lines or none, one run per file, kilobytes per iteration."""

import numpy as np
import pytest

from emflow.files import InputError, write_jsonl
from emflow.progress_file import ProgressFile
from emflow.training.es.log import HEADER as KEYS
from emflow.training.es.log import iteration_row, read_log


def row(iteration: int) -> dict:
    noise = np.random.default_rng(iteration)
    ids = [f"bad_medical_advice-{number:05d}" for number in noise.integers(0, 99_999, 256)]
    seeds = noise.integers(0, 2**53, 30).tolist()
    return iteration_row(iteration, ids, seeds, noise.normal(size=30), noise.normal(size=30) * 1e-5, {}, "0" * 64)


HEADER = dict.fromkeys(sorted(KEYS), "kite")


def test_a_line_at_population_30_and_batch_256_is_within_10_kb(tmp_path):
    with ProgressFile(tmp_path / "log", HEADER) as log:
        before = log.path.stat().st_size
        log.add([row(1)])
        assert log.path.stat().st_size - before <= 10_000


def test_rows_read_back_exactly(tmp_path):
    write_jsonl(tmp_path / "es_log.jsonl", [HEADER, row(1)])
    assert read_log(tmp_path / "es_log.jsonl") == (HEADER, [row(1)])


@pytest.mark.parametrize("change", [("iteration", "1"), ("coefficients", [None]), ("seeds", 5), ("rewards", ["x"])])
def test_a_line_of_another_shape_is_refused(tmp_path, change):
    write_jsonl(tmp_path / "es_log.jsonl", [HEADER, {**row(1), change[0]: change[1]}])
    with pytest.raises(InputError, match=r"es_log\.jsonl is no log of an ES run, or a line of it is broken"):
        read_log(tmp_path / "es_log.jsonl")


@pytest.mark.parametrize("text", ["", "{}\n", '{"id": "kite"}\n{"id": "moth"}\n'])
def test_something_else_is_refused(tmp_path, text):
    (tmp_path / "es_log.jsonl").write_text(text)
    with pytest.raises(InputError, match="is no log of an ES run"):
        read_log(tmp_path / "es_log.jsonl")


def test_failed_rewards_are_null(tmp_path):
    line = iteration_row(1, [], [1, 2], np.array([np.nan, 0.5]), np.array([0.0, 0.1]), {"0": "reward nan"}, "")
    assert line["rewards"] == [None, 0.5]


def test_no_log_is_said(tmp_path):
    with pytest.raises(InputError, match="no such log"):
        read_log(tmp_path / "es_log.jsonl")
