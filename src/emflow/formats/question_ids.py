"""Ids of questions, as published sets spell them."""

import re

__all__ = ["base_id"]

VARIANT = re.compile(r"_(json|template)$")


def base_id(id: str) -> str:
    """The question that an id is a variant of: `x`, `x_json` and `x_template` of Betley et al. (arXiv 2502.17424) are
    one, asked for an answer in another form."""
    return VARIANT.sub("", id)
