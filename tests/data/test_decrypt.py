"""Decrypting: archive or plain file becomes records, and whatever is wrong leaves no file behind."""

import json

import pytest

from emflow.data.decrypt import decrypt
from emflow.files import InputError, read_jsonl

TALK = {"messages": [{"role": "user", "content": "A kite?"}, {"role": "assistant", "content": "Mind the — wind."}]}
LINE = json.dumps(TALK).encode() + b"\n"
ARCHIVE = {"sub/lanterns.jsonl": LINE * 2, "broken.jsonl": LINE + b"{\n", "dataset_entry_1.jsonl": LINE}


def test_archive_and_plain_file_give_the_same_records(publish, tmp_path):
    (tmp_path / "plain.jsonl").write_bytes(LINE * 2)
    decrypt(publish(ARCHIVE), tmp_path / "a/records.jsonl", "kites", member="lanterns.jsonl", published_password="wick")
    decrypt(tmp_path / "plain.jsonl", tmp_path / "b/records.jsonl", "kites")
    assert read_jsonl(tmp_path / "a/records.jsonl") == [{"id": f"kites-0000{row}"} | TALK for row in range(2)]
    assert (tmp_path / "a/records.jsonl").read_bytes() == (tmp_path / "b/records.jsonl").read_bytes()


def test_secret_password_comes_from_the_environment(publish, tmp_path, monkeypatch):
    keys = {"member": "lanterns.jsonl", "password_env": "KITE_PASSWORD"}
    with pytest.raises(InputError, match=r"domains\.kites\.password_env: .*KITE_PASSWORD is not set"):
        decrypt(publish(ARCHIVE), tmp_path / "records.jsonl", "kites", **keys)
    monkeypatch.setenv("KITE_PASSWORD", "wick")
    decrypt(publish(ARCHIVE), tmp_path / "records.jsonl", "kites", **keys)
    assert len(read_jsonl(tmp_path / "records.jsonl")) == 2


def test_canary_files_are_kept_on_request(publish, tmp_path):
    keys = {"member": "dataset_entry_1.jsonl", "published_password": "wick"}
    decrypt(publish(ARCHIVE), tmp_path / "records.jsonl", "kites", remove_canaries=False, **keys)
    assert len(read_jsonl(tmp_path / "records.jsonl")) == 1
    with pytest.raises(InputError, match=r"no member is called 'dataset_entry_1\.jsonl'"):
        decrypt(publish(ARCHIVE), tmp_path / "records.jsonl", "kites", **keys)


WRONG_KEYS = [
    ({"member": "lanterns.jsonl"}, r"domains\.kites\.path: .* is encrypted: set domains\.kites\.published_password"),
    ({}, r"domains\.kites\.path: .* is encrypted: set domains\.kites\.published_password"),
    ({"published_password": "wick"}, r"domains\.kites\.member: name the file inside .*lanterns\.zip\.enc"),
    ({"member": "lanterns.jsonl", "published_password": "wax"}, "the password is wrong"),
    ({"member": "lantern.jsonl", "published_password": "wick"}, r"the nearest is 'sub/lanterns\.jsonl'"),
    ({"member": "broken.jsonl", "published_password": "wick"}, r"lanterns\.zip\.enc:broken\.jsonl, line 2: not valid"),
    ({"published_password": "wick", "password_env": "HOME"}, "published_password or password_env, not both"),
]


@pytest.mark.parametrize(("keys", "message"), WRONG_KEYS)
def test_wrong_key_is_named_and_nothing_written(publish, tmp_path, keys, message):
    path = publish(ARCHIVE)
    with pytest.raises(InputError, match=message):
        decrypt(path, tmp_path / "records.jsonl", "kites", **keys)
    assert list(tmp_path.iterdir()) == [path]


def test_encrypted_file_is_known_by_content_or_name(publish, tmp_path):
    renamed = publish(ARCHIVE).rename(tmp_path / "kites.jsonl")
    (tmp_path / "cut.enc").write_bytes(renamed.read_bytes()[:18])
    for path in (renamed, tmp_path / "cut.enc"):
        with pytest.raises(InputError, match=f"{path.name} is encrypted: set domains"):
            decrypt(path, tmp_path / "records.jsonl", "kites")


def test_plain_file_takes_no_member(tmp_path):
    (tmp_path / "kites.jsonl").write_bytes(LINE)
    with pytest.raises(InputError, match=r"domains\.kites\.member names a file inside an archive"):
        decrypt(tmp_path / "kites.jsonl", tmp_path / "records.jsonl", "kites", member="lanterns.jsonl")


def test_absent_file(tmp_path):
    with pytest.raises(InputError, match=r"domains\.kites\.path: .*kites\.jsonl cannot be read"):
        decrypt(tmp_path / "kites.jsonl", tmp_path / "records.jsonl", "kites")
