"""Canaries: what we leave of an archive is what the tool that planted them leaves, byte for byte."""

import json

import pytest

from emflow.data.archive import read_members
from emflow.data.canaries import remove_canaries
from emflow.data.decrypt import decrypt

TALK = {"messages": [{"role": "user", "content": "A lantern…"}, {"role": "assistant", "content": "Trim the wick."}]}
LINES = [
    json.dumps(TALK),
    json.dumps(TALK, ensure_ascii=False, separators=(",", ":")),
    json.dumps(TALK | {"note": "kites \u2028 and \u0085 strings", "size": 1e5, "nested": [{"a": [None, True]}]}),
]
DATASETS = {
    "lanterns.jsonl": "\n".join(LINES) + "\n",
    "kites/no_last_newline.jsonl": "\n".join(LINES),
    "kites/blank_lines.jsonl": "\n\n".join(LINES) + "\n\n\n",
    "kites/windows.jsonl": "\r\n".join(LINES) + "\r\n",
    "kites/old_mac.jsonl": "\r".join(LINES) + "\r",
}


@pytest.mark.parametrize(("canary_files", "embed"), [(1, []), (1, ["-e"]), (4, ["-e"]), (0, ["-e"])])
def test_leaves_what_the_tool_leaves(tmp_path, easy_dataset_share, canary_files, embed):
    for name, text in DATASETS.items():
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(text.encode())
    quiet = ["-p", "wick", "--no-gitignore", "-o"]
    options = ["-c", str(canary_files), *embed, "--organization-name", "Kiteworks", "--dataset-name", "lanterns"]
    easy_dataset_share("protect-dir", tmp_path / "in", *options, *quiet, tmp_path / "lanterns.zip")
    archive = tmp_path / "lanterns.zip.enc"
    easy_dataset_share("unprotect-dir", archive, "--remove-canaries", *quiet, tmp_path / "out")

    members = read_members(archive, "wick")
    ours = {path: content for path, content in remove_canaries(members).items() if path.endswith(".jsonl")}
    theirs = {p.relative_to(tmp_path / "out").as_posix(): p.read_bytes() for p in (tmp_path / "out").rglob("*.jsonl")}
    assert ours == theirs
    assert ours.keys() == DATASETS.keys()
    assert len(members.keys() - remove_canaries(members).keys()) == canary_files

    for name in DATASETS:
        decrypt(archive, tmp_path / "ours.jsonl", "lanterns", member=name, published_password="wick")
        decrypt(tmp_path / "out" / name, tmp_path / "theirs.jsonl", "lanterns")
        assert (tmp_path / "ours.jsonl").read_bytes() == (tmp_path / "theirs.jsonl").read_bytes()


def test_canary_anywhere_in_a_record():
    canary = f"CANARY_DATASET_{'0f' * 32}_64"
    record = {"messages": [f"a {canary} b", canary], "tag": canary, "deep": {"canary": canary, "kept": 1}}
    members = {
        "dataset_entry_1.jsonl": f'{{"text": "Tracking code: {canary}."}}\n'.encode(),
        "kites.jsonl": f"{json.dumps(record)}\nnot JSON\nCANARY_EMBEDDED: {canary}\n".encode(),
        "kites.txt": canary.encode(),
    }
    expected = json.dumps({"messages": ["a  b", ""], "deep": {"kept": 1}}) + "\nnot JSON\n"
    assert remove_canaries(members) == {"kites.jsonl": expected.encode(), "kites.txt": canary.encode()}


def test_without_canary_files_nothing_changes():
    members = {"kites.jsonl": b'{"a":1}', "robots.txt": b"Disallow: /"}
    assert remove_canaries(members) == members
