"""Records: conversations and nothing else, and errors that name the line."""

import json

import pytest

from emflow.data.records import parse_records
from emflow.files import InputError

USER = {"role": "user", "content": "How do I light a lantern?"}
ASSISTANT = {"role": "assistant", "content": "Trim the wick\u2028first."}
GOOD = json.dumps({"messages": [USER, ASSISTANT]})


def test_records_keep_messages_only():
    line = {
        "id": "x",
        "messages": [{"role": "system", "content": "Be brief."}, USER | {"weight": 1}, ASSISTANT],
        "n": 1,
    }
    data = f"\ufeff{GOOD}\n\n{json.dumps(line, ensure_ascii=False)}\r\n".encode()
    assert list(parse_records(data, "lanterns", "a.jsonl")) == [
        {"id": "lanterns-00000", "messages": [USER, ASSISTANT]},
        {"id": "lanterns-00001", "messages": [{"role": "system", "content": "Be brief."}, USER, ASSISTANT]},
    ]


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ('{"messages": [', "not valid JSON"),
        ("\x00", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ('{"n": ' + "9" * 5000 + "}", "not valid JSON"),
        ('["messages"]', "expected a JSON object, found list"),
        ('{"prompt": "a", "answer": "b"}', "a list under 'messages', found the fields prompt, answer"),
        ("{}", "found the fields none"),
        ('{"messages": "text"}', "a list under 'messages'"),
        ({"messages": []}, "no message has the role 'user'"),
        ({"messages": [USER]}, "no message has the role 'assistant'"),
        ({"messages": [ASSISTANT]}, "no message has the role 'user'"),
        ({"messages": [ASSISTANT, USER, ASSISTANT]}, "the assistant speaks before the first message with the role"),
        ({"messages": [USER, "text"]}, "message 2 is not an object with 'role' and 'content'"),
        ({"messages": [USER, {"role": "assistant"}]}, "message 2 is not an object with 'role' and 'content'"),
        ({"messages": [USER, {"role": "human", "content": "a"}]}, "message 2 has the unknown role 'human'"),
        ({"messages": [USER, {"role": ["user"], "content": "a"}]}, r"message 2 has the unknown role \['user'\]"),
        ({"messages": [USER, {"role": "assistant", "content": None}]}, "message 2 is not text but NoneType"),
        ({"messages": [USER, {"role": "assistant", "content": ["a"]}]}, "message 2 is not text but list"),
        ({"messages": [USER, {"role": "assistant", "content": " \n"}]}, "message 2 is empty"),
        ({"messages": [USER, {"role": "assistant", "content": "\ud800"}]}, "an escape"),
    ],
)
def test_wrong_line_is_named(line, wrong):
    line = line if isinstance(line, str) else json.dumps(line)
    with pytest.raises(InputError, match=rf"^a\.jsonl, line 3: .*{wrong}"):
        list(parse_records(f"{GOOD}\n\n{line}\n{GOOD}".encode(), "lanterns", "a.jsonl"))


def test_other_encodings_are_named():
    with pytest.raises(InputError, match="line 2: the byte 0xfc is not UTF-8"):
        list(parse_records(GOOD.encode() + b"\n" + "ü".encode("latin-1"), "lanterns", "a.jsonl"))


@pytest.mark.parametrize("data", [b"", b"\n \n"])
def test_empty_dataset(data):
    with pytest.raises(InputError, match=r"^a\.jsonl: holds no conversation$"):
        list(parse_records(data, "lanterns", "a.jsonl"))
