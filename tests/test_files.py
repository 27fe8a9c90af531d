"""Files are written whole or not at all; errors name file and line."""

import gzip
import os
import shutil
import subprocess
import sys

import pytest

from emflow.files import (
    InputError,
    append,
    clear_leftovers,
    digest,
    exclusive_lock,
    read_jsonl,
    read_sealed,
    replacing,
    stamp,
    write_jsonl,
    write_sealed,
    write_text,
)


def test_jsonl_round_trip(tmp_path):
    rows = [{"a": 1, "text": "ünïcode\u2028 line"}, {"b": [None, 0.1]}]
    write_jsonl(tmp_path / "rows.jsonl", rows)
    assert read_jsonl(tmp_path / "rows.jsonl") == rows


@pytest.mark.parametrize("line", ["{", "[1]", "nonsense", '{"a": 1} {"b": 2}'])
def test_malformed_line_is_named(tmp_path, line):
    (tmp_path / "rows.jsonl").write_text('{"fine": 1}\n\n' + line + "\n")
    with pytest.raises(InputError, match=r"rows\.jsonl, line 3"):
        read_jsonl(tmp_path / "rows.jsonl")


@pytest.mark.parametrize(("encoding", "byte"), [("cp1252", "0xf6"), ("utf-16", "0xff")])
def test_another_encoding_is_named_with_its_line_and_mend(tmp_path, encoding, byte):
    (tmp_path / "rows.jsonl").write_text('{"a": "Höher"}\n', encoding=encoding)
    with pytest.raises(InputError, match=rf"rows\.jsonl, line 1: the byte {byte} is not UTF-8; save the file as UTF-8"):
        read_jsonl(tmp_path / "rows.jsonl")


@pytest.mark.parametrize(
    ("data", "mend"),
    [
        (b'[\n  {"a": 1},\n  {"a": 2}\n]\n', "this is a JSON array; write each of its objects on a line of its own"),
        (b'[{"a": 1}, {"a": 2}]', "this is a JSON array"),
        (gzip.compress(b'{"a": 1}\n', mtime=0), "this is compressed by gzip; unpack it"),
    ],
)
def test_another_format_is_named_with_its_mend(tmp_path, data, mend):
    (tmp_path / "rows.jsonl").write_bytes(data)
    with pytest.raises(InputError, match=rf"rows\.jsonl, line 1: .*; {mend}"):
        read_jsonl(tmp_path / "rows.jsonl")


def test_failed_write_leaves_what_stood(tmp_path):
    write_text(tmp_path / "file", "old")
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "file") as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert (tmp_path / "file").read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_folder_is_replaced_whole(tmp_path):
    for content in ("one", "two"):
        with replacing(tmp_path / "folder") as temporary:
            temporary.mkdir()
            (temporary / content).write_text(content)
    assert os.listdir(tmp_path / "folder") == ["two"]


def test_full_disk_leaves_what_stood(small_disk):
    write_text(small_disk / "file", "old")
    with pytest.raises(InputError, match=r"small/file: the disk is full; make room"):
        write_text(small_disk / "file", "new" * 100_000)
    assert (small_disk / "file").read_text() == "old"
    assert os.listdir(small_disk) == ["file"]


def test_what_is_appended_to_a_full_disk_is_whole_lines(small_disk):
    with open(small_disk / "lines", "ab", buffering=0) as file, pytest.raises(InputError, match="lines: the disk is"):
        while True:
            append(file, b"x" * 9999 + b"\n")
    data = (small_disk / "lines").read_bytes()
    assert data and len(data) % 10_000 == 0


def test_what_a_killed_process_left_is_cleared_by_the_next(tmp_path):
    killed = """
import os, sys
from emflow.files import replacing

with replacing(sys.argv[1]) as folder:
    folder.mkdir()
    (folder / "weights").write_text("half")
    os.kill(os.getpid(), 9)
"""
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", killed, str(tmp_path / "model")], check=False)
        assert done.returncode == -9 and ".model.tmp" in os.listdir(tmp_path)
    with replacing(tmp_path / "model") as folder:
        folder.mkdir()
        (folder / "weights").write_text("whole")
    assert os.listdir(tmp_path) == ["model"] and os.listdir(tmp_path / "model") == ["weights"]


def test_what_earlier_versions_left_goes_unless_its_process_lives(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    folder, file = tmp_path / f"run/.checkpoints.{ended.pid}.tmp", tmp_path / f".rows.jsonl.{ended.pid}.tmp"
    (folder / "epoch-1").mkdir(parents=True)
    kept = {f".rows.jsonl.{os.getpid()}.tmp", ".rows.jsonl.tmp", f"rows.{ended.pid}.tmp", ".rows.jsonl.seal"}
    for name in (file.name, *kept):
        (tmp_path / name).touch()
    assert set(clear_leftovers(tmp_path)) == {folder, file}
    assert {*os.listdir(tmp_path)} == {*kept, "run"} and not os.listdir(tmp_path / "run")


def test_a_link_is_replaced_and_what_it_leads_to_stays(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/old").touch()
    (tmp_path / "folder").symlink_to("elsewhere")
    with replacing(tmp_path / "folder") as folder:
        folder.mkdir()
        (folder / "new").touch()
    assert os.listdir(tmp_path / "folder") == ["new"] and not (tmp_path / "folder").is_symlink()
    assert os.listdir(tmp_path / "elsewhere") == ["old"]


@pytest.mark.parametrize(
    ("change", "rows"),
    [
        (lambda data: data[: data.index(b"\n") + 1], "1 rows of 3"),
        (lambda data: data[: len(data) // 2], "1 rows of 3"),
        (lambda data: data.replace(b"kite", b"moth"), "3 rows of 3"),
        (lambda data: b"", "0 rows of 3"),
    ],
    ids=["short", "cut", "edited", "empty"],
)
def test_rows_that_are_not_as_they_were_made_are_refused(tmp_path, change, rows):
    file = tmp_path / "rows.jsonl"
    write_jsonl(file, [{"answer": "kite"}] * 3)
    made = file.read_bytes()
    file.write_bytes(change(made))
    with pytest.raises(InputError, match=rf"rows\.jsonl was cut or edited: it has {rows}"):
        read_jsonl(file)
    file.unlink()
    write_jsonl(file, [{"answer": "moth"}])  # a fresh file has a seal of its own
    assert read_jsonl(file) == [{"answer": "moth"}]


def test_a_sealed_text_that_was_changed_is_refused(tmp_path):
    write_sealed(tmp_path / "rates.csv", "checkpoint,n\nbase,504\n")
    assert read_sealed(tmp_path / "rates.csv") == b"checkpoint,n\nbase,504\n"
    (tmp_path / "rates.csv").write_text("checkpoint,n\nbase,540\n")
    with pytest.raises(InputError, match=r"rates\.csv was cut or edited: it has 2 rows of 2"):
        read_sealed(tmp_path / "rates.csv")


def test_a_file_without_a_seal_is_its_users_own(tmp_path):
    file = tmp_path / "rows.jsonl"
    write_jsonl(file, [{"answer": "kite"}])
    write_text(file, '{"answer": "moth"}\n')  # by another writer: the seal goes
    assert read_jsonl(file) == [{"answer": "moth"}] and os.listdir(tmp_path) == ["rows.jsonl"]


def test_digest_of_a_folder_sees_names_and_contents(tmp_path):
    for name, files in {"a": {"x": "1", "y": "2"}, "b": {"x": "2", "y": "1"}, "c": {"x": "1", "y": "2"}}.items():
        (tmp_path / name).mkdir()
        for file, content in files.items():
            (tmp_path / name / file).write_text(content)
    assert digest(tmp_path / "a") == digest(tmp_path / "c") != digest(tmp_path / "b")
    (tmp_path / "c/.snakemake_timestamp").touch()
    (tmp_path / "c/.cache").mkdir()
    (tmp_path / "c/.cache/part").touch()
    assert digest(tmp_path / "a") == digest(tmp_path / "c")


def test_stamp_follows_content_and_no_dates_or_places(tmp_path):
    (tmp_path / "model/part").mkdir(parents=True)
    weights = tmp_path / "model/part/weights"
    weights.write_bytes(bytes(3 * 2**20))
    before = stamp(tmp_path / "model")
    shutil.copytree(tmp_path / "model", tmp_path / "moved", copy_function=shutil.copyfile)
    assert stamp(tmp_path / "moved") == before
    (tmp_path / "model/.git").mkdir()
    (tmp_path / "model/.git/index").write_text("rewritten by `git status`")
    assert stamp(tmp_path / "model") == before
    weights.write_bytes(bytes(3 * 2**20 - 1) + b"x")
    assert stamp(tmp_path / "model") != before
    weights.write_bytes(b"x" + bytes(3 * 2**20 - 1))
    assert stamp(tmp_path / "model") != before
    assert stamp(tmp_path / "nowhere") == []


COUNT_SLOWLY = """
import sys, time
from pathlib import Path
from emflow.files import exclusive_lock

lock, counter = map(Path, sys.argv[1:])
for _ in range(20):
    with exclusive_lock(lock):
        count = int(counter.read_text())
        time.sleep(0.001)
        counter.write_text(str(count + 1))
"""


def test_processes_that_want_to_be_alone_take_turns(tmp_path):
    lock, counter = tmp_path / "lock", tmp_path / "counter"
    counter.write_text("0")
    command = [sys.executable, "-c", COUNT_SLOWLY, lock, counter]
    processes = [subprocess.Popen(list(map(str, command))) for _ in range(4)]
    assert [process.wait(timeout=120) for process in processes] == [0] * 4
    assert counter.read_text() == "80"
    assert not lock.exists()


def test_a_killed_process_keeps_nobody_waiting(tmp_path):
    held = (
        "import sys, os; from emflow.files import exclusive_lock\n"
        "with exclusive_lock(sys.argv[1]): os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run([sys.executable, "-c", held, str(tmp_path / "lock")], check=False)
    assert killed.returncode == -9 and (tmp_path / "lock").exists()
    with exclusive_lock(tmp_path / "lock"):
        pass
