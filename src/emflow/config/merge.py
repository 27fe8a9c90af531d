"""An overlay on a config: key by key, but a section of another kind in place of the one below."""

from collections.abc import Mapping
from typing import Any

__all__ = ["merged"]


def merged(below: Any, above: Any) -> Any:
    """`above` over `below`: sections are merged key by key, lists and single values replaced.

    A section that names another `kind` than the one below it replaces it whole: what a LoRA is made of is no part of a
    full fine-tuning.
    """
    if not isinstance(above, Mapping):
        return above
    if not isinstance(below, Mapping) or below.get("kind") != above.get("kind", below.get("kind")):
        below = {}
    return {**below, **{key: merged(below.get(key), value) for key, value in above.items()}}
