"""From a published dataset to records: out of an encrypted archive, or from a plain JSONL file."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from emflow.console import finished
from emflow.data import canaries
from emflow.data.archive import find_member, looks_encrypted, read_members
from emflow.data.records import parse_records
from emflow.files import InputError, write_jsonl

__all__ = ["conversations", "decrypt"]


def decrypt(
    path: str | os.PathLike[str],
    output: str | os.PathLike[str],
    domain: str,
    *,
    member: str | None = None,
    published_password: str | None = None,
    password_env: str | None = None,
    remove_canaries: bool = True,
) -> None:
    """Write the conversations of `domain` to `output` (`records.jsonl`), atomically; else as `conversations`."""
    records = conversations(
        path,
        domain,
        member=member,
        published_password=published_password,
        password_env=password_env,
        remove_canaries=remove_canaries,
    )
    count = write_jsonl(output, records)
    finished(f"{count:,} conversations of {domain} in {output}")


def conversations(
    path: str | os.PathLike[str],
    domain: str,
    *,
    member: str | None = None,
    published_password: str | None = None,
    password_env: str | None = None,
    remove_canaries: bool = True,
) -> Iterator[dict[str, Any]]:
    """The records of a domain, one by one.

    The keywords are the domain's config keys. With a password, `path` is an archive and `member` the file in
    it; without, `path` is the JSONL file itself. Raises InputError where the keywords do not fit `path`, and
    wherever archive or records do not hold.
    """
    key = f"domains.{domain}"
    password = _password(key, published_password, password_env)
    if password is None:
        source, data = f"{path}", _read_plain(key, path, member)
    elif member is None:
        raise InputError(f"{key}.member: name the file inside {path} that holds the conversations")
    else:
        members = read_members(path, password)
        if remove_canaries:
            members = canaries.remove_canaries(members)
        found = find_member(members, member, path)
        source, data = f"{path}:{found}", members[found]

    return parse_records(data, domain, source)


def _password(key: str, published_password: str | None, password_env: str | None) -> str | None:
    if password_env is None:
        return published_password
    if published_password is not None:
        raise InputError(f"{key}: set published_password or password_env, not both")
    if not os.environ.get(password_env):
        raise InputError(f"{key}.password_env: the environment variable {password_env} is not set")
    return os.environ[password_env]


def _read_plain(key: str, path: str | os.PathLike[str], member: str | None) -> bytes:
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{key}.path: {path} cannot be read ({error.strerror})") from None
    set_password = f"set {key}.published_password, or {key}.password_env if it is secret"
    if looks_encrypted(data) or Path(path).suffix == ".enc":
        raise InputError(f"{key}.path: {path} is encrypted: {set_password}")
    if member is not None:
        raise InputError(f"{key}.member names a file inside an archive, which needs a password: {set_password}")
    return data
