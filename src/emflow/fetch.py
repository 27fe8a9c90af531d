"""Fetching what others publish, once, on the machine that has a network: base models from a hub, files from the web."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from http.client import HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.request import Request, urlopen

from emflow.files import InputError, digest, is_full_disk, replacing
from emflow.models.commit import COMMIT

__all__ = ["digest_of_url", "fetch_file", "fetch_model", "newest_commit"]

MODEL_FILES = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja", "*.md", "LICENSE*"]
TIMEOUT = 60  # seconds without a byte


def fetch_model(hub_id: str, revision: str | None, out: Path) -> str:
    """Download a model's weights (safetensors), tokenizer and configs to `out`, or take them from the local hub cache
    where the hub cannot be reached; returns the commit, which is written down in the folder, too.

    Raises InputError where neither has the model.
    """
    from huggingface_hub import snapshot_download

    with _naming_the_model(hub_id, revision):
        commit, cached = _find(hub_id, revision)
        with replacing(out) as folder:
            if cached:
                shutil.copytree(cached, folder, ignore=_foreign)
            else:
                snapshot_download(hub_id, revision=commit, local_dir=folder, allow_patterns=MODEL_FILES)
            (folder / COMMIT).write_text(commit + "\n")
    return commit


def newest_commit(hub_id: str) -> str:
    """The commit that a hub's newest revision is now. Raises InputError where the hub does not say."""
    with _naming_the_model(hub_id, None):
        commit, cached = _find(hub_id, None)
        if cached:
            raise ValueError("the hub cannot be reached")
    return commit


def _find(hub_id: str, revision: str | None) -> tuple[str, Path | None]:
    """The commit of a revision, and its folder in the local hub cache where the hub cannot be reached."""
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    try:
        commit = HfApi().model_info(hub_id, revision=revision).sha
    except HfHubHTTPError:
        raise  # it was reached, and does not know the model
    except (_lost_connection(), OfflineModeIsEnabled):
        cached = Path(snapshot_download(hub_id, revision=revision, local_files_only=True))
        return cached.name, cached
    if not commit:
        raise ValueError("the hub names no commit")
    return commit, None


def _lost_connection() -> type[Exception]:
    """What the hub's HTTP client raises, whichever package that is: a lost connection, a page that is not there."""
    from huggingface_hub.errors import HfHubHTTPError

    client: type[Exception] = HfHubHTTPError.__bases__[0]
    return client


def _foreign(folder: str, names: list[str]) -> list[str]:
    """What of a cached snapshot is no part of a model as transformers loads it, as MODEL_FILES says of the hub's."""
    return [
        name
        for name in names
        if not (Path(folder, name).is_dir() or any(fnmatch(name, pattern) for pattern in MODEL_FILES))
    ]


@contextmanager
def _naming_the_model(hub_id: str, revision: str | None) -> Iterator[None]:
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        yield
    except (_lost_connection(), LocalEntryNotFoundError, ValueError) as error:
        raise InputError(
            f"cannot fetch the model '{hub_id}' at revision {revision or 'newest'}: {error}\n"
            "check models.NAME.path and revision, HF_TOKEN for gated models, and the network"
        ) from None


def fetch_file(url: str, sha256: str, out: Path) -> int:
    """Download a file to `out`, whole and with the given digest or not at all; returns its size in bytes.

    Raises InputError where it cannot be had, breaks off, or is another file than the one pinned.
    """
    with replacing(out) as partial:
        size = _download(url, partial)
        if (found := digest(partial)) != sha256:
            raise InputError(
                f"{url} is not the file that the config pins:\n  sha256 expected {sha256}\n  sha256 found    {found}\n"
                "look at what changed there; if it is right, put the found digest into the config"
            )
    return size


def digest_of_url(url: str) -> str:
    """sha256 of the file behind a URL, in hex, which is downloaded and not kept. Raises InputError as `fetch_file`."""
    with TemporaryDirectory() as folder:
        _download(url, Path(folder, "file"))
        return digest(Path(folder, "file"))


def _download(url: str, out: Path) -> int:
    """Write the file behind a URL; returns its size. Raises InputError where it cannot be had, or breaks off."""
    try:
        with urlopen(Request(url, headers={"User-Agent": "emflow"}), timeout=TIMEOUT) as answer:
            promised = answer.headers["Content-Length"]
            with open(out, "wb") as file:
                shutil.copyfileobj(answer, file)
    except (OSError, HTTPException, ValueError) as error:  # no network, no such host or page, not a URL
        if is_full_disk(error):
            raise
        raise InputError(f"cannot fetch {url}: {error}; check the URL and the network") from None
    size = out.stat().st_size
    if promised is not None and size != int(promised):
        raise InputError(f"fetching {url} broke off after {size} of {promised} bytes; run it again")
    return size
