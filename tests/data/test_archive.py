"""Archives: what is written is read, by us and by the tool itself; damaged and harmful ones are refused."""

import contextlib
import io
import random
import re
import stat
import tracemalloc
import zipfile

import pytest

from emflow.data import archive
from emflow.data.archive import find_member, looks_encrypted, protect, read_members
from emflow.data.canaries import remove_canaries
from emflow.data.decrypt import decrypt
from emflow.data.records import parse_records
from emflow.files import InputError

FILES = {"lanterns.jsonl": b'{"a": 1}\n', "sub/kites.jsonl": '{"b": "ü"}\n'.encode(), "empty.txt": b""}


def test_round_trip(tmp_path):
    protect(FILES, tmp_path / "a.zip.enc", "wick")
    assert read_members(tmp_path / "a.zip.enc", "wick") == FILES
    assert looks_encrypted((tmp_path / "a.zip.enc").read_bytes())


def test_reads_archives_of_the_tool(tmp_path, easy_dataset_share):
    for name, content in FILES.items():
        (tmp_path / "in" / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / "in" / name).write_bytes(content)
    easy_dataset_share("protect-dir", tmp_path / "in", "-p", "wick", "--no-tos", "--no-gitignore", "-o", tmp_path / "a")
    members = read_members(tmp_path / "a.enc", "wick")
    assert members.items() >= FILES.items()
    assert members.keys() - FILES.keys() >= {"robots.txt"}


def test_the_tool_reads_ours(tmp_path, easy_dataset_share):
    protect(FILES, tmp_path / "a.zip.enc", "wick")
    easy_dataset_share("unprotect-dir", tmp_path / "a.zip.enc", "-p", "wick", "--no-gitignore", "-o", tmp_path / "out")
    found = {p.relative_to(tmp_path / "out").as_posix(): p.read_bytes() for p in (tmp_path / "out").rglob("*.*")}
    assert found == FILES


def test_wrong_password_says_that_it_may_be_damage(publish):
    with pytest.raises(InputError, match=r"lanterns\.zip\.enc.*password is wrong, or the file is damaged"):
        read_members(publish(FILES), "wax")


def test_every_truncation_is_refused(publish):
    path = publish(FILES)
    whole, visible = path.read_bytes(), 0
    for length in [*range(16, 100), *range(len(whole) - 130, len(whole))]:
        path.write_bytes(whole[:length])
        with pytest.raises(InputError) as error:
            read_members(path, "wick")
        visible += "truncated" in str(error.value)
        assert re.search("damaged|not an archive", str(error.value))
    assert visible > 200  # of 214: only a cut at a whole block looks like a wrong password


def test_changed_byte_is_refused(publish):
    path = publish(FILES)
    data = bytearray(path.read_bytes())
    data[200] = ord("A") if data[200] != ord("A") else ord("B")
    path.write_bytes(data)
    with pytest.raises(InputError, match="damaged"):
        read_members(path, "wick")


@pytest.mark.parametrize("password", ["wick\udcff", "\ud83d"])
def test_a_password_that_is_no_text_is_named(publish, password):
    with pytest.raises(InputError, match="the password is not text"):
        read_members(publish(FILES), password)


@pytest.mark.parametrize(
    "content", [b"", b"<!DOCTYPE html>" * 9, b"version https://git-lfs.github.com/spec/v1\noid sha256:"]
)
def test_something_else_in_its_place(tmp_path, content):
    (tmp_path / "a.zip.enc").write_bytes(content)
    with pytest.raises(InputError, match=r"not an archive of easy-dataset-share \(perhaps a web page"):
        read_members(tmp_path / "a.zip.enc", "wick")


def test_absent_archive(tmp_path):
    with pytest.raises(InputError, match=r"a\.zip\.enc: cannot be read \(No such file"):
        read_members(tmp_path / "a.zip.enc", "wick")


HARMFUL = [
    "../kites.jsonl",
    "sub/../../kites.jsonl",
    "..\\kites.jsonl",
    "/kites.jsonl",
    "\\kites.jsonl",
    "C:kites.jsonl",
    "C:\\kites.jsonl",
    "\\\\host\\share\\kites.jsonl",
    "../",
]


@pytest.mark.parametrize("name", HARMFUL)
def test_path_out_of_the_folder(publish, tmp_path, name):
    path = publish(FILES | {name: b"{}"})
    with pytest.raises(InputError, match="would leave its folder"):
        read_members(path, "wick")
    with pytest.raises(InputError, match="would leave its folder"):
        protect({name: b"{}"}, tmp_path / "ours.zip.enc", "wick")
    assert list(tmp_path.iterdir()) == [path]


def test_symbolic_link(publish):
    link = zipfile.ZipInfo("kites.jsonl")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(InputError, match=r"'kites\.jsonl' is a symbolic link"):
        read_members(publish(FILES | {link: b"/etc/hostname"}), "wick")


@pytest.mark.parametrize("sizes", [[2**26], [2**18] * 5])
def test_zip_bomb_is_refused_before_it_unfolds(publish, monkeypatch, sizes):
    monkeypatch.setattr(archive, "MAX_BYTES", 2**20)
    path = publish({f"{number}.jsonl": bytes(size) for number, size in enumerate(sizes)}, zipfile.ZIP_DEFLATED)
    tracemalloc.start()
    with pytest.raises(InputError, match="more than 1,048,576 bytes, so it is refused as a zip bomb"):
        read_members(path, "wick")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**23


TALK = b'{"messages":[{"role":"user","content":"?"},{"role":"assistant","content":"!"}]}\n'
CANARY = b"CANARY_DATASET_" + b"0f" * 32 + b"_64"


WITH_CANARIES = {"dataset_entry_1.jsonl": CANARY}


@pytest.mark.parametrize(
    ("line", "canaries"),
    [(TALK, {}), (b"\n", {}), (b"{}\n", {}), (TALK, WITH_CANARIES), (b"\n", WITH_CANARIES)],
    ids=["conversations", "newlines", "short lines", "conversations with canaries", "newlines with canaries"],
)
def test_memory_stays_within_twice_the_text(publish, tmp_path, line, canaries):
    text = line * (2**20 // len(line))
    path = publish({"kites.jsonl": text, **canaries}, zipfile.ZIP_DEFLATED)
    tracemalloc.start()
    with contextlib.nullcontext() if line == TALK else pytest.raises(InputError, match=r"conversation|'messages'"):
        decrypt(path, tmp_path / "records.jsonl", "kites", member="kites.jsonl", published_password="wick")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2.2 * len(text)


def test_any_mutation_is_read_or_refused(publish, tmp_path):
    path = publish(FILES | {"kites.jsonl": TALK * 20}, zipfile.ZIP_DEFLATED)
    draw, whole = random.Random(0), path.read_bytes()
    members = read_members(path, "wick")
    for _ in range(100):
        path.write_bytes(mutated(draw, whole))
        with contextlib.suppress(InputError):
            assert read_members(path, "wick") == members


def test_any_mutation_of_what_is_encrypted_is_read_or_refused(monkeypatch):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, content in (FILES | {"kites.jsonl": TALK * 20, "dataset_entry_1.jsonl": CANARY}).items():
            zipped.writestr(name, content)
    draw, decrypted = random.Random(0), [b""]
    monkeypatch.setattr(archive, "_decrypt", lambda *_: decrypted[0])  # the key alone takes 50 ms
    for _ in range(600):
        decrypted[0] = mutated(draw, buffer.getvalue())
        with contextlib.suppress(InputError):
            members = remove_canaries(read_members("kites.zip.enc", "wick"))
            list(parse_records(members[find_member(members, "kites.jsonl", "kites.zip.enc")], "kites", "kites.jsonl"))


def test_any_mutation_of_conversations_is_read_or_refused():
    draw = random.Random(0)
    for _ in range(600):
        with contextlib.suppress(InputError):
            for record in parse_records(mutated(draw, TALK * 3), "kites", "kites.jsonl"):
                turns = record["messages"]
                assert {"user", "assistant"} <= {turn["role"] for turn in turns} <= {"system", "user", "assistant"}
                assert all(turn["content"].strip() for turn in turns)


def mutated(draw: random.Random, data: bytes) -> bytes:
    """With one to four places changed: bytes, pieces of JSON, a part taken out or doubled."""
    parts = [b"\n", b"[", b"{", b'"', b"null", b"1e999", b"\\ud800", b"\xff", b"\0", b"9" * 5000, b"[" * 2000]
    changed = bytearray(data)
    for _ in range(draw.randint(1, 4)):
        at, size = draw.randrange(len(changed) + 1), draw.choice([0, 1, 1, 4, 40])
        changed[at : at + size] = draw.choice([*parts, draw.randbytes(2), b"", bytes(changed[at : at + 60])])
    return bytes(changed)


def test_header_that_lies_about_the_size(encrypt):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr("kites.jsonl", bytes(5_000_000))
    lying = buffer.getvalue().replace((5_000_000).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    with pytest.raises(InputError, match="the zip file inside is damaged"):
        read_members(encrypt(lying), "wick")


def test_too_many_members(publish, monkeypatch):
    monkeypatch.setattr(archive, "MAX_MEMBERS", 2)
    with pytest.raises(InputError, match="holds 3 members; at most 2"):
        read_members(publish(FILES), "wick")


def test_methods_that_unpack_without_bound(publish):
    with pytest.raises(InputError, match="a method other than deflate"):
        read_members(publish(FILES, zipfile.ZIP_BZIP2), "wick")


def test_two_members_of_one_name(publish):
    twice = {zipfile.ZipInfo("kites.jsonl"): b"one", zipfile.ZipInfo("kites.jsonl"): b"two"}
    with pytest.warns(UserWarning, match="Duplicate name"):
        path = publish(twice)
    with pytest.raises(InputError, match=r"two members called 'kites\.jsonl'"):
        read_members(path, "wick")


@pytest.mark.parametrize("content", [b"", b"no zip at all", b"PK\x05\x06" + bytes(10)])
def test_no_zip_inside(encrypt, content):
    with pytest.raises(InputError, match="decrypted, but the zip file inside is damaged"):
        read_members(encrypt(content), "wick")


def test_member_by_name_or_path():
    members = dict.fromkeys(["a/lanterns.jsonl", "b/lanterns.jsonl", "b/kites.jsonl"], b"")
    assert find_member(members, "b/lanterns.jsonl", "x.enc") == "b/lanterns.jsonl"
    assert find_member(members, "kites.jsonl", "x.enc") == "b/kites.jsonl"
    with pytest.raises(InputError, match=r"whole path: a/lanterns\.jsonl, b/lanterns\.jsonl"):
        find_member(members, "lanterns.jsonl", "x.enc")
    with pytest.raises(
        InputError, match=r"x\.enc: no member .*nearest is 'b/kites\.jsonl'.*holds: a/lan.*, b/kites.*, b/lan"
    ):
        find_member(members, "kite.jsonl", "x.enc")
