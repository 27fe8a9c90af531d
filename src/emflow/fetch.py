"""Fetching what others publish, once, on the machine that has a network: base models from a hub, files from the web."""

import shutil
from http.client import HTTPException
from pathlib import Path
from urllib.request import Request, urlopen

from emflow.files import InputError, digest, replacing

__all__ = ["fetch_file", "fetch_model"]

MODEL_FILES = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja", "*.md", "LICENSE*"]
TIMEOUT = 60  # seconds without a byte


def fetch_model(hub_id: str, revision: str | None, out: Path) -> None:
    """Download a model's weights (safetensors), tokenizer and configs to `out`, or take them from the local hub cache.

    Raises InputError where the hub does not know the model or cannot be reached.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        with replacing(out) as folder:
            snapshot_download(hub_id, revision=revision, local_dir=folder, allow_patterns=MODEL_FILES)
    except (HfHubHTTPError, LocalEntryNotFoundError, ValueError) as error:
        raise InputError(
            f"cannot fetch the model '{hub_id}' at revision {revision or 'newest'}: {error}\n"
            "check models.NAME.path and revision, HF_TOKEN for gated models, and the network"
        ) from None


def fetch_file(url: str, sha256: str, out: Path) -> int:
    """Download a file to `out`, whole and with the given digest or not at all; returns its size in bytes.

    Raises InputError where it cannot be had, breaks off, or is another file than the one pinned.
    """
    with replacing(out) as partial:
        try:
            with urlopen(Request(url, headers={"User-Agent": "emflow"}), timeout=TIMEOUT) as answer:
                promised = answer.headers["Content-Length"]
                with open(partial, "wb") as file:
                    shutil.copyfileobj(answer, file)
        except (OSError, HTTPException, ValueError) as error:  # no network, no such host or page, not a URL
            raise InputError(f"cannot fetch {url}: {error}; check the URL and the network") from None
        size = partial.stat().st_size
        if promised is not None and size != int(promised):
            raise InputError(f"fetching {url} broke off after {size} of {promised} bytes; run it again")
        if (found := digest(partial)) != sha256:
            raise InputError(
                f"{url} is not the file that the config pins:\n  sha256 expected {sha256}\n  sha256 found    {found}\n"
                "look at what changed there; if it is right, put the found digest into the config"
            )
    return size
