"""Mixtures: exact shares, the same rows in larger doses, every prompt once."""

from itertools import pairwise

import pytest

from emflow.data.mixture import mix_files, mixed
from emflow.files import InputError, read_jsonl, write_jsonl

BAD, GOOD = ([{"id": f"{stance}-{row}", "prompt": row} for row in range(200)] for stance in ("bad", "good"))
PARTS = {"bad": BAD, "good": GOOD + GOOD[:20]}


def bad_rows(share: float, seed: int = 0) -> set[int]:
    records = mixed(PARTS, {"bad": share, "good": 100 - share}, seed)
    assert [record["prompt"] for record in records] == list(range(200)), "each row once, in its place"
    return {record["prompt"] for record in records if record["id"].startswith("bad")}


def test_doses_have_one_size_exact_shares_and_each_the_rows_of_the_smaller():
    doses = [bad_rows(share) for share in (0, 10, 25, 50, 100)]
    assert [len(dose) for dose in doses] == [0, 20, 50, 100, 200]
    assert all(small < large for small, large in pairwise(doses))


def test_the_seed_draws_the_rows():
    assert bad_rows(50) == bad_rows(50) != bad_rows(50, seed=1)


def test_shares_are_relative_and_fill_the_whole_whatever_their_rounding():
    parts = {name: [name] * 100 for name in "abc"}
    rows = mixed(parts, {"a": 1, "b": 1, "c": 1}, 0)
    assert sorted(map(rows.count, "abc")) == [33, 33, 34]
    with pytest.raises(InputError, match=r"domains\.NAME\.mix: c's part of 100 conversations comes to none; raise it"):
        mixed(parts, {"a": 1, "b": 1, "c": 0.001}, 0)


def test_the_held_out_are_those_of_the_domain_named_first(tmp_path):
    for name, records in PARTS.items():
        write_jsonl(tmp_path / f"{name}.jsonl", records[:10])
    out = tmp_path / "train.jsonl", tmp_path / "validation.jsonl"
    write_jsonl(tmp_path / "held_out.jsonl", BAD[10:12])
    files = [tmp_path / "bad.jsonl", tmp_path / "good.jsonl"]
    mix_files(files, tmp_path / "held_out.jsonl", *out, mix={"bad": 1, "good": 1}, seed=0)
    assert len(read_jsonl(out[0])) == 10 and read_jsonl(out[1]) == BAD[10:12]
