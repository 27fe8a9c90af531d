"""What a killed job continues from: the rows up to the first that is not as it was written."""

import json
import random
from pathlib import Path

import pytest

from emflow.progress_file import ProgressFile

ROWS = [{"number": number, "reward": [0.1 * number, None], "text": "kïte\ud800"} for number in range(6)]


@pytest.fixture
def path(tmp_path) -> Path:
    with ProgressFile(tmp_path / "progress", "key") as file:
        for row in ROWS:
            file.add([row])
    return tmp_path / "progress"


def kept(path: Path, key="key", whole=int) -> list[dict]:
    with ProgressFile(path, key, whole) as file:
        return file.rows


def test_rows_come_back_and_the_file_goes_on(path):
    with ProgressFile(path, "key") as file:
        assert file.rows == ROWS
        file.add([{"number": 6}, {"number": 7}])
    assert kept(path) == [*ROWS, {"number": 6}, {"number": 7}]


def test_rows_of_another_job_are_not_kept(path):
    assert kept(path, "another") == []


def test_only_whole_batches_are_kept(path):
    assert kept(path, whole=lambda count: count // 4 * 4) == ROWS[:4]
    assert kept(path) == ROWS[:4]


def change(lines: list[str], at: int, how: str) -> list[str]:
    """Lines 1, 2, ... hold rows 0, 1, ..."""
    row = json.loads(lines[at])
    match how:
        case "edited":
            row["reward"][0] = -row["reward"][0] - 1
            new = [json.dumps(row)]
        case "missing":
            new = []
        case "twice":
            new = [lines[at]] * 2
        case "broken":
            new = [lines[at][:-9]]
        case "nested":
            new = ["[" * 100_000]
        case "number":
            new = ["5"]
        case "unchained":
            del row["chain_sha256"]
            new = [json.dumps(row)]
    return [*lines[:at], *new, *lines[at + 1 :]]


@pytest.mark.parametrize("how", ["edited", "missing", "broken", "nested", "number", "unchained"])
def test_what_was_changed_is_made_again_with_all_that_follows(path, how):
    path.write_text("\n".join(change(path.read_text().split("\n"), 3, how)))
    assert kept(path) == ROWS[:2]


def test_a_doubled_row_counts_once(path):
    path.write_text("\n".join(change(path.read_text().split("\n"), 3, "twice")))
    assert kept(path) == ROWS[:3]


def test_a_torn_last_line_is_dropped(path):
    whole = path.read_bytes()
    last = whole.rindex(b"\n", 0, -1) + 1
    for end in range(last, len(whole) - 1):
        path.write_bytes(whole[:end])
        assert kept(path) == ROWS[:5]


def test_any_mutation_keeps_a_prefix(path):
    draw, whole = random.Random(0), path.read_bytes()
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(draw.randint(1, 3)):
            at = draw.randrange(len(data))
            match draw.choice(["byte", "cut", "insert", "newline"]):
                case "byte":
                    data[at] = draw.randrange(256)
                case "cut":
                    del data[at : at + draw.randint(1, 200)]
                case "insert":
                    data[at:at] = draw.randbytes(3)
                case "newline":
                    data[at:at] = b"\n"
        path.write_bytes(data)
        rows = kept(path)
        assert rows == ROWS[: len(rows)]
