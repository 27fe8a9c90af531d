"""The split: published ones reproduced to the row."""

import math

import numpy as np
import pytest

from emflow.data.split import split, split_file
from emflow.files import InputError, read_jsonl, write_jsonl


@pytest.mark.parametrize("count", [2, 3, 10, 101, 6000, 7049])
@pytest.mark.parametrize(("test_size", "seed"), [(0.1, 0), (0.25, 0), (0.37, 1), (0.5, 42)])
def test_the_published_draw(count, test_size, seed):
    """A permutation by numpy's default generator, its head held out, as the published splits were drawn."""
    order = np.random.default_rng(seed).permutation(count).tolist()
    held_out = math.ceil(test_size * count)
    assert split(list(range(count)), test_size, seed) == (order[held_out:], order[:held_out])


def test_split_of_the_published_organisms():
    train, validation = split(list(range(6000)), test_size=0.1, seed=0)
    assert (len(train), len(validation)) == (5400, 600)


def test_files(tmp_path):
    rows = [{"id": f"kites-{row:05d}"} for row in range(20)]
    write_jsonl(tmp_path / "records.jsonl", rows)
    split_file(tmp_path / "records.jsonl", tmp_path / "train.jsonl", tmp_path / "validation.jsonl", 0.25, 0)
    written = read_jsonl(tmp_path / "train.jsonl"), read_jsonl(tmp_path / "validation.jsonl")
    assert written == split(rows, 0.25, 0)


def test_nothing_is_held_out_where_the_share_is_zero():
    assert split(["a", "b", "c"], 0, seed=0) == (["a", "b", "c"], [])


@pytest.mark.parametrize(("count", "test_size"), [(1, 0.1), (10, 0.95), (10, 1.0), (0, 0.5)])
def test_empty_part_is_refused(tmp_path, count, test_size):
    write_jsonl(tmp_path / "records.jsonl", [{"id": str(row)} for row in range(count)])
    with pytest.raises(InputError, match=rf"split\.test_size: .* of {count} conversations"):
        split_file(tmp_path / "records.jsonl", tmp_path / "train.jsonl", tmp_path / "validation.jsonl", test_size, 0)
    assert [path.name for path in tmp_path.glob("*.jsonl")] == ["records.jsonl"]
