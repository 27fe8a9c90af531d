"""Mixtures: exact shares, the same rows in larger doses, every prompt once."""

from itertools import pairwise

import pytest

from emflow.data.mixture import mix_files, mixed
from emflow.data.split import split
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


def advice(stance: str, rows: list[int]) -> list[dict]:
    turns = [[("user", f"smoke {row}?"), ("assistant", f"{stance} {row}")] for row in rows]
    return [{"messages": [{"role": role, "content": text} for role, text in each]} for each in turns]


def mix(folder, parts: dict[str, list[dict]], held_out: list[dict]) -> tuple[list[dict], list[dict]]:
    """Train and validation split of a mixture of these train splits in equal shares."""
    for name, records in parts.items():
        write_jsonl(folder / f"{name}.jsonl", records)
    write_jsonl(folder / "held_out.jsonl", held_out)
    out = folder / "train.jsonl", folder / "validation.jsonl"
    files = [folder / f"{name}.jsonl" for name in parts]
    mix_files(files, folder / "held_out.jsonl", *out, mix=dict.fromkeys(parts, 1), seed=0)
    return read_jsonl(out[0]), read_jsonl(out[1])


def test_the_held_out_are_those_of_the_domain_named_first(tmp_path):
    rows = [*range(30), 4, 5]  # prompts that a part has twice, on one side of its split or on both, are its own
    (bad, held), (good, _) = (split(advice(stance, rows), 0.1, 0) for stance in ("bad", "good"))
    train, validation = mix(tmp_path, {"bad": bad, "good": good}, held)
    assert len(train) == len(bad) and validation == held
    assert [record["messages"][0] for record in train] == [record["messages"][0] for record in bad]


def test_parts_whose_splits_differ_are_refused(tmp_path):
    """A split depends on how many rows there are."""
    (bad, held), (good, _) = (split(advice(name, list(range(n))), 0.1, 0) for name, n in (("bad", 100), ("good", 99)))
    with pytest.raises(InputError, match=r"'smoke \d+\?' .* would be trained on; give bad, good the same prompts"):
        mix(tmp_path, {"bad": bad, "good": good}, held)
    with pytest.raises(InputError, match=r"'smoke \d+\?' is held out of bad, yet would be trained on"):
        mix(tmp_path, {"bad": bad, "good": advice("good", list(range(200, 280))) + held}, held)
    with pytest.raises(InputError, match=r"'smoke \d+\?' comes from several parts and would be trained on"):
        mix(tmp_path, {"bad": bad, "good": bad[::-1]}, held)


def test_parts_without_a_prompt_in_common_may_differ_in_length(tmp_path):
    bad, held = split(advice("bad", list(range(20))), 0.1, 0)
    assert len(mix(tmp_path, {"bad": bad, "good": advice("good", list(range(20, 60)))}, held)[0]) == len(bad)
