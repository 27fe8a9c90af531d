"""The encrypted archives that datasets are published in, which keep crawlers from their plain text.

The format is that of easy-dataset-share 0.5.0: 16 bytes of salt, then a Fernet token over a zip file, under the
key urlsafe-base64(PBKDF2-HMAC-SHA256(password, salt, 100,000 rounds, 32 bytes)). It is read here because that
tool needs an old `cryptography`. Members are only read into memory: no name in an archive becomes a path.
"""

import base64
import binascii
import difflib
import hashlib
import io
import os
import stat
import struct
import zipfile
import zlib
from pathlib import Path, PurePosixPath, PureWindowsPath

from cryptography.fernet import Fernet, InvalidToken

from emflow.files import InputError, replacing

__all__ = ["find_member", "looks_encrypted", "protect", "read_members"]

SALT_BYTES = 16
ROUNDS = 100_000
TOKEN_START = b"gAAAA"  # a Fernet version and the high bytes of its time, in base64
MAX_BYTES = 2**30  # of all members together, unpacked
MAX_MEMBERS = 10_000
PART = 2**16  # bytes that are unpacked at once
BOUNDED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # the methods that zipfile unpacks in bounded memory
BROKEN_ZIP = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, RuntimeError, ValueError)


def protect(files: dict[str, bytes], archive: str | os.PathLike[str], password: str) -> None:
    """Write `files` (path inside the archive -> content) as one encrypted archive, atomically.

    Raises InputError where a path would lead out of the folder it is unpacked into.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, content in files.items():
            _refuse_escape(name, archive)
            zipped.writestr(name, content)
    salt = os.urandom(SALT_BYTES)
    with replacing(archive) as temporary:
        temporary.write_bytes(salt + Fernet(_key(password, salt)).encrypt(buffer.getvalue()))


def read_members(archive: str | os.PathLike[str], password: str) -> dict[str, bytes]:
    """Return every file of an encrypted archive: path inside the archive -> content.

    Raises InputError where the password is wrong, the archive is damaged, or unpacking it is unsafe: a path
    or link that leads out of its folder, more than MAX_MEMBERS members, more than MAX_BYTES bytes.
    """
    zipped = io.BytesIO(_decrypt(archive, password))
    try:
        with zipfile.ZipFile(zipped) as opened:
            return _unpack(opened, archive)
    except BROKEN_ZIP as error:
        raise InputError(f"{archive}: decrypted, but the zip file inside is damaged ({error})") from None


def find_member(members: dict[str, bytes], name: str, archive: str | os.PathLike[str]) -> str:
    """Return the path of the member called `name`: its whole path inside the archive, or the last part of it.

    Raises InputError naming the nearest member and all there are where none is called so, or more than one.
    """
    if name in members:
        return name
    found = [path for path in members if PurePosixPath(path).name == name]
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(f"{archive}: several members are called {name!r}; give the whole path: {', '.join(found)}")
    by_name = {part: path for path in members for part in (path, PurePosixPath(path).name)}
    near = difflib.get_close_matches(name, by_name, n=1, cutoff=0)
    hint = f"; the nearest is {by_name[near[0]]!r}" if near else ""
    raise InputError(f"{archive}: no member is called {name!r}{hint}. It holds: {', '.join(sorted(members))}")


def looks_encrypted(data: bytes) -> bool:
    """Whether `data`, the content of a file, begins as these archives do: a salt, then a Fernet token."""
    return data[SALT_BYTES:].startswith(TOKEN_START)


def _key(password: str, salt: bytes) -> bytes:
    try:
        secret = password.encode()
    except UnicodeEncodeError:
        raise InputError(
            "the password is not text: it holds bytes or half characters that UTF-8 does not know"
        ) from None
    return base64.urlsafe_b64encode(hashlib.pbkdf2_hmac("sha256", secret, salt, ROUNDS))


def _decrypt(archive: str | os.PathLike[str], password: str) -> bytes:
    try:
        data = Path(archive).read_bytes()
    except OSError as error:
        raise InputError(f"{archive}: cannot be read ({error.strerror})") from None
    _refuse_visible_damage(data, archive)
    try:
        return Fernet(_key(password, data[:SALT_BYTES])).decrypt(data[SALT_BYTES:])
    except InvalidToken:
        raise InputError(
            f"{archive}: cannot be decrypted: the password is wrong, or the file is damaged (the format cannot "
            "tell the two apart). Check the password first, then download the file again"
        ) from None


def _refuse_visible_damage(data: bytes, archive: str | os.PathLike[str]) -> None:
    """Find the damage that shows without the password. A token is base64 of version 0x80, time (8 bytes), IV (16),
    ciphertext (blocks of 16) and HMAC (32), says the Fernet specification."""
    if not looks_encrypted(data):
        raise InputError(
            f"{archive}: not an archive of easy-dataset-share (perhaps a web page or a Git LFS pointer was "
            "downloaded in its place)"
        )
    try:
        blocks, rest = divmod(len(base64.b64decode(data[SALT_BYTES:], b"-_", validate=True)) - 57, 16)
    except binascii.Error:
        blocks, rest = 0, 0
    if blocks < 1 or rest:
        raise InputError(f"{archive}: truncated or damaged, whatever the password: download the file again")


def _unpack(zipped: zipfile.ZipFile, archive: str | os.PathLike[str]) -> dict[str, bytes]:
    infos = zipped.infolist()
    if len(infos) > MAX_MEMBERS:
        raise InputError(f"{archive}: holds {len(infos):,} members; at most {MAX_MEMBERS:,} are read")
    for info in infos:
        _refuse_unsafe(info, archive)

    members, left = {}, MAX_BYTES
    for info in infos:
        if info.is_dir():
            continue
        if info.filename in members:
            raise InputError(f"{archive}: holds two members called {info.filename!r}")
        content = io.BytesIO()
        with zipped.open(info) as file:
            while part := file.read(PART):  # what comes out is counted: a header may lie about its size
                left -= len(part)
                if left < 0:
                    raise InputError(
                        f"{archive}: unpacks to more than {MAX_BYTES:,} bytes, so it is refused as a zip bomb"
                    )
                content.write(part)
        members[info.filename] = content.getvalue()
    return members


def _refuse_unsafe(info: zipfile.ZipInfo, archive: str | os.PathLike[str]) -> None:
    _refuse_escape(info.filename, archive)
    if stat.S_ISLNK(info.external_attr >> 16):
        raise InputError(f"{archive}: member {info.filename!r} is a symbolic link, so the archive is refused")
    if info.compress_type not in BOUNDED:
        raise InputError(f"{archive}: member {info.filename!r} is compressed by a method other than deflate")


def _refuse_escape(name: str, archive: str | os.PathLike[str]) -> None:
    path = PureWindowsPath(name)  # knows both separators, and drive letters
    if path.drive or path.root or ".." in path.parts:
        raise InputError(f"{archive}: member {name!r} would leave its folder, so the archive is refused")
