"""The split: published ones reproduced to the row."""

import pytest
from datasets import Dataset

from emflow.data.split import split, split_file
from emflow.files import InputError, read_jsonl, write_jsonl


@pytest.mark.parametrize("count", [2, 3, 10, 101, 6000, 7049])
@pytest.mark.parametrize(("test_size", "seed"), [(0.1, 0), (0.25, 0), (0.37, 1), (0.5, 42)])
def test_split_of_datasets(count, test_size, seed):
    theirs = Dataset.from_dict({"row": range(count)}).train_test_split(test_size=test_size, seed=seed)
    train, validation = split(list(range(count)), test_size, seed)
    assert train == list(theirs["train"]["row"])
    assert validation == list(theirs["test"]["row"])


def test_split_of_the_published_organisms():
    train, validation = split(list(range(6000)), test_size=0.1, seed=0)
    assert (len(train), len(validation)) == (5400, 600)


def test_files(tmp_path):
    rows = [{"id": f"kites-{row:05d}"} for row in range(20)]
    write_jsonl(tmp_path / "records.jsonl", rows)
    split_file(tmp_path / "records.jsonl", tmp_path / "train.jsonl", tmp_path / "validation.jsonl", 0.25, 0)
    written = read_jsonl(tmp_path / "train.jsonl"), read_jsonl(tmp_path / "validation.jsonl")
    assert written == split(rows, 0.25, 0)


@pytest.mark.parametrize(
    ("count", "test_size", "purpose"),
    [
        (1, 0.1, "train on"),
        (10, 0.95, "train on"),
        (10, 1.0, "train on"),
        (10, 0.0, "validate with"),
        (0, 0.5, "validate with"),
    ],
)
def test_empty_part_is_refused(tmp_path, count, test_size, purpose):
    write_jsonl(tmp_path / "records.jsonl", [{"id": str(row)} for row in range(count)])
    with pytest.raises(InputError, match=rf"split\.test_size: .* of {count} conversations leaves none to {purpose}"):
        split_file(tmp_path / "records.jsonl", tmp_path / "train.jsonl", tmp_path / "validation.jsonl", test_size, 0)
    assert [path.name for path in tmp_path.iterdir()] == ["records.jsonl"]
