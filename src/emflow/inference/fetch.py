"""Fetching base models from a hub, on the machine that has a network."""

from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

from emflow.files import InputError, replacing

__all__ = ["fetch_model"]

WANTED = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja", "*.md", "LICENSE*"]


def fetch_model(hub_id: str, revision: str | None, out: Path) -> None:
    """Download a model's weights (safetensors), tokenizer and configs to `out`, or take them from the local hub cache.

    Raises InputError where the hub does not know the model or cannot be reached.
    """
    try:
        with replacing(out) as folder:
            snapshot_download(hub_id, revision=revision, local_dir=folder, allow_patterns=WANTED)
    except (HfHubHTTPError, LocalEntryNotFoundError, ValueError) as error:
        raise InputError(
            f"cannot fetch the model '{hub_id}' at revision {revision or 'newest'}: {error}\n"
            "check models.NAME.path and revision, HF_TOKEN for gated models, and the network"
        ) from None
