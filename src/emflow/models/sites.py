"""Names of the places in a decoder where hooks sit (`emflow.models.hooks`), for who has no model at hand."""

__all__ = ["layer_of"]


def layer_of(site: str) -> int:
    """The number of a site's decoder layer; -1 for the embedding, which comes before them."""
    return int(site.partition(".")[2] or -1)
