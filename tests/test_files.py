"""Files are written whole or not at all; errors name file and line."""

import os
import shutil
import subprocess
import sys

import pytest

from emflow.files import InputError, alone, digest, read_jsonl, replacing, stamp, write_jsonl, write_text


def test_jsonl_round_trip(tmp_path):
    rows = [{"a": 1, "text": "ünïcode\u2028 line"}, {"b": [None, 0.1]}]
    write_jsonl(tmp_path / "rows.jsonl", rows)
    assert read_jsonl(tmp_path / "rows.jsonl") == rows


@pytest.mark.parametrize("line", ["{", "[1]", "nonsense", '{"a": 1} {"b": 2}'])
def test_malformed_line_is_named(tmp_path, line):
    (tmp_path / "rows.jsonl").write_text('{"fine": 1}\n\n' + line + "\n")
    with pytest.raises(InputError, match=r"rows\.jsonl, line 3"):
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


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_full_disk_leaves_what_stood(tmp_path, monkeypatch):
    write_text(tmp_path / "file", "old")
    (tmp_path / f".file.{os.getpid()}.tmp").symlink_to("/dev/full")
    monkeypatch.setattr("emflow.files._remove", lambda path: None)  # keep the link to the full device
    with pytest.raises(OSError, match="No space left"):
        write_text(tmp_path / "file", "new")
    assert (tmp_path / "file").read_text() == "old"


def test_digest_of_a_folder_sees_names_and_contents(tmp_path):
    for name, files in {"a": {"x": "1", "y": "2"}, "b": {"x": "2", "y": "1"}, "c": {"x": "1", "y": "2"}}.items():
        (tmp_path / name).mkdir()
        for file, content in files.items():
            (tmp_path / name / file).write_text(content)
    assert digest(tmp_path / "a") == digest(tmp_path / "c") != digest(tmp_path / "b")


def test_stamp_follows_content_and_no_dates_or_places(tmp_path):
    (tmp_path / "model/part").mkdir(parents=True)
    weights = tmp_path / "model/part/weights"
    weights.write_bytes(bytes(3 * 2**20))
    before = stamp(tmp_path / "model")
    shutil.copytree(tmp_path / "model", tmp_path / "moved", copy_function=shutil.copyfile)
    assert stamp(tmp_path / "moved") == before
    weights.write_bytes(bytes(3 * 2**20 - 1) + b"x")
    assert stamp(tmp_path / "model") != before
    weights.write_bytes(b"x" + bytes(3 * 2**20 - 1))
    assert stamp(tmp_path / "model") != before
    assert stamp(tmp_path / "nowhere") == []


COUNT_SLOWLY = """
import sys, time
from pathlib import Path
from emflow.files import alone

lock, counter = map(Path, sys.argv[1:])
for _ in range(20):
    with alone(lock):
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
    held = "import sys, os, signal; from emflow.files import alone\nwith alone(sys.argv[1]): os.kill(os.getpid(), 9)"
    killed = subprocess.run([sys.executable, "-c", held, str(tmp_path / "lock")], check=False)
    assert killed.returncode == -9 and (tmp_path / "lock").exists()
    with alone(tmp_path / "lock"):
        pass
