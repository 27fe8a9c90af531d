"""Conversation records: `{"id", "messages": [{"role", "content"}]}`, one per line of a dataset."""

from collections.abc import Iterator
from typing import Any

from emflow.files import InputError, parse_jsonl

__all__ = ["last_question", "parse_records"]

ROLES = ("system", "user", "assistant")


def parse_records(data: bytes, domain: str, source: str) -> Iterator[dict[str, Any]]:
    """The conversations of a JSONL dataset, one by one; fields other than `messages` are dropped.

    `source` is what errors call the data. Ids are `{domain}-{row:05d}`, rows counted from 0 in the order of
    `data`. Raises InputError naming the line that is not JSON or not a conversation, or if there is no line.
    """
    row = -1
    for row, (number, fields) in enumerate(parse_jsonl(data, source)):
        try:
            messages = _messages(fields)
        except InputError as error:
            raise InputError(f"{source}, line {number}: {error}") from None
        yield {"id": f"{domain}-{row:05d}", "messages": messages}
    if row < 0:
        raise InputError(f"{source}: holds no conversation")


def last_question(record: dict[str, Any]) -> tuple[list[dict[str, str]], str]:
    """A record's turns up to its last answer, and that answer."""
    turns = record["messages"]
    end = max(number for number, turn in enumerate(turns) if turn["role"] == "assistant")
    return turns[:end], turns[end]["content"]


def _messages(fields: dict[str, Any]) -> list[dict[str, str]]:
    messages = fields.get("messages")
    if not isinstance(messages, list):
        raise InputError(f"expected a list under 'messages', found the fields {', '.join(fields) or 'none'}")
    messages = [_message(message, number) for number, message in enumerate(messages, start=1)]
    for role in ("user", "assistant"):
        if not any(message["role"] == role for message in messages):
            raise InputError(f"no message has the role '{role}'")
    roles = [message["role"] for message in messages]
    if roles.index("assistant") < roles.index("user"):
        raise InputError("the assistant speaks before the first message with the role 'user'; begin with that")
    return messages


def _message(message: Any, number: int) -> dict[str, str]:
    if not isinstance(message, dict) or not {"role", "content"} <= message.keys():
        raise InputError(f"message {number} is not an object with 'role' and 'content'")
    role, content = message["role"], message["content"]
    if role not in ROLES:
        raise InputError(f"message {number} has the unknown role {role!r}; valid: {', '.join(ROLES)}")
    if not isinstance(content, str):
        raise InputError(f"the content of message {number} is not text but {type(content).__name__}")
    if not content.strip():
        raise InputError(f"the content of message {number} is empty")
    return {"role": role, "content": content}
