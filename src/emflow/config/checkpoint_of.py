"""`init_from` of methods: the checkpoint that a run starts from in place of the base model."""

from emflow.config.section import Section
from emflow.config.types import Name

__all__ = ["CheckpointOf"]


class CheckpointOf(Section):
    """A checkpoint of another run with the same model and seed. An adapter is merged into the weights below it."""

    method: Name
    """Name under `methods`."""
    checkpoint: str
    """One of its labels, e.g. `epoch-1` or `iteration-10`."""
    domain: Name | None = None
    """Name under `domains`; null for the run's own. Another makes a chain: bad advice first, then good."""
