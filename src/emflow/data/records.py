"""Conversation records: `{"id", "messages": [{"role", "content"}]}`, one per line of a dataset."""

from typing import Any

from emflow.files import InputError, parse_jsonl

__all__ = ["parse_records"]

ROLES = ("system", "user", "assistant")


def parse_records(data: bytes, domain: str, source: str) -> list[dict[str, Any]]:
    """Read the conversations of a JSONL dataset; fields other than `messages` are dropped.

    `source` is what errors call the data. Ids are `{domain}-{row:05d}`, rows counted from 0 in the order of
    `data`. Raises InputError naming the line that is not JSON or not a conversation, or if there is no line.
    """
    records = []
    for row, (number, fields) in enumerate(parse_jsonl(data, source)):
        try:
            messages = _messages(fields)
        except InputError as error:
            raise InputError(f"{source}, line {number}: {error}") from None
        records.append({"id": f"{domain}-{row:05d}", "messages": messages})
    if not records:
        raise InputError(f"{source}: holds no conversation")
    return records


def _messages(fields: dict[str, Any]) -> list[dict[str, str]]:
    messages = fields.get("messages")
    if not isinstance(messages, list):
        raise InputError(f"expected a list under 'messages', found the fields {', '.join(fields) or 'none'}")
    messages = [_message(message, number) for number, message in enumerate(messages, start=1)]
    for role in ("user", "assistant"):
        if not any(message["role"] == role for message in messages):
            raise InputError(f"no message has the role '{role}'")
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
    try:
        content.encode()
    except UnicodeEncodeError:
        raise InputError(f"the content of message {number} holds half a surrogate pair, which no file can") from None
    return {"role": role, "content": content}
