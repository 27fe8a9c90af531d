"""Which commit of its hub a model's folder holds."""

import re
from pathlib import Path

__all__ = ["COMMIT", "commit_of"]

COMMIT = "emflow_commit.txt"
"""In a fetched folder: the commit that was used."""


def commit_of(folder: Path) -> str | None:
    """The commit that `fetch_model` wrote down, or that names a snapshot in a hub's cache; None where neither is so."""
    if (folder / COMMIT).exists():
        return (folder / COMMIT).read_text().strip()
    folder = folder.resolve()
    return folder.name if folder.parent.name == "snapshots" and re.fullmatch("[0-9a-f]{40}", folder.name) else None
