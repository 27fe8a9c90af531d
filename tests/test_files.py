"""Files are written whole or not at all; errors name file and line."""

import os

import pytest

from emflow.files import InputError, digest, read_jsonl, replacing, write_jsonl, write_text


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
