"""Where a file or a model comes from: a path, a URL, or a hub."""

import difflib
import os
import re
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator

from emflow.paths import is_result

__all__ = ["Source", "check_model", "check_pin", "check_url", "file_name", "is_local", "is_url", "nearest_path"]

HUB_ID = re.compile(r"(?!.*(--|\.\.))(?!.*\.git$)(\b[\w.-]{1,96}\b/)?\b[\w.-]{1,96}\b", re.ASCII)
"""`NAME` or `ORGANISATION/NAME`, as huggingface_hub checks it."""

WITH_USER = re.compile(r"https?://[^/?#]*@")


def _spelt(source: str) -> str:
    """A source as every rule spells it: `~` is the user's home, `./results//x` is `results/x`."""
    source = os.path.expanduser(source) if source.startswith("~") else source
    return Path(source).as_posix() if is_result(source) else source


Source = Annotated[str, AfterValidator(_spelt)]


def is_url(source: str) -> bool:
    """Whether a file is fetched from the web; anything else is a path."""
    return source.startswith(("https://", "http://"))


def file_name(url: str) -> str:
    """The name of the file that is fetched from a URL."""
    return Path(urlsplit(url).path).name or "file"


def check_url(key: str, url: str) -> None:
    """Raises ValueError where nothing can be fetched from `url`, or where it holds a password, not repeated."""
    if WITH_USER.match(url):
        raise ValueError(f"{key}: holds a user name or password before its @, which results would show; leave it out")
    try:
        parts = urlsplit(url)
        if not (is_url(url) and parts.hostname and parts.port != 0):
            raise ValueError("an address begins with https:// and a host")
    except ValueError as error:
        raise ValueError(f"{key}: '{url}' is no address: {error}") from None


def check_pin(key: str, source: str, sha256: str | None) -> None:
    """A URL comes with the digest of what lies behind it, a path without. Raises ValueError."""
    if is_url(source):
        check_url(key, source)
    if is_url(source) and sha256 is None:
        raise ValueError(
            f"{key} is a URL: set `sha256` to the digest of its file, so that the result can be reproduced"
        )
    if sha256 is not None and not is_url(source):
        raise ValueError(f"`sha256` pins a URL, and {key} is the path '{source}'; leave it out")


def is_local(model: str) -> bool:
    """Whether a model is named by its folder: one that is there, or a path that cannot be a hub id."""
    return is_result(model) or model.startswith((".", "/", "~")) or Path(model).is_dir()


def check_model(path: str, revision: str | None) -> None:
    """Raises ValueError where a model's path is neither a folder nor a hub id, or seems to misspell a folder.

    What a hub could have is taken for a misspelt folder where its first part is a folder here, or where a folder of
    nearly its name holds a model; a revision says that a hub is meant.
    """
    folder = Path(path)
    if folder.is_dir():
        if revision is not None:
            raise ValueError(f"`revision` pins a hub model, and '{path}' is a folder here; leave it out")
    elif is_local(path):
        raise ValueError(f"there is no folder '{path}'{nearest_path(path)}")
    elif not HUB_ID.fullmatch(path):
        raise ValueError(f"'{path}' is no folder here and no hub id (NAME or ORGANISATION/NAME){nearest_path(path)}")
    elif revision is None:
        near = _nearest(folder)
        if (folder.parent != Path() and folder.parent.is_dir()) or (near and (near / "config.json").exists()):
            raise ValueError(f"there is no folder '{path}'{nearest_path(path)}; if it is a hub id, pin its `revision`")


def nearest_path(path: str) -> str:
    """The mend for a path that is not there, as the end of a sentence; nothing where no name beside it is near."""
    near = _nearest(Path(path))
    return f"; did you mean '{near}'?" if near else ""


def _nearest(path: Path) -> Path | None:
    names = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    close = difflib.get_close_matches(path.name, sorted(names), n=1, cutoff=0.6)
    return path.parent / close[0] if close else None
