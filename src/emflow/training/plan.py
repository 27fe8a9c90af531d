"""After which steps or updates the checkpoints of a study lie, known before anything is fetched or made."""

from typing import NamedTuple

from emflow.config.es import Es
from emflow.config.load import Config
from emflow.config.methods import Method
from emflow.training.es.schedule import checkpoint_updates, updates
from emflow.training.schedule import checkpoint_steps, total_steps

__all__ = ["PlannedCheckpoint", "planned"]


class PlannedCheckpoint(NamedTuple):
    """A checkpoint that a study will have."""

    method: str
    records: int
    """Conversations that train."""
    checkpoint: str
    """Its label."""
    step: int
    """Optimizer steps, or ES updates, until then."""
    of: int
    """Those of the whole run."""


def planned(config: Config, records: int) -> list[PlannedCheckpoint]:
    """Every checkpoint of every method that the study runs or starts from, on so many training conversations."""
    return [
        PlannedCheckpoint(name, records, label, step, total)
        for name in config.methods_needed
        for steps, total in [_steps(config.methods[name], records)]
        for label, step in steps.items()
    ]


def _steps(method: Method, records: int) -> tuple[dict[str, int], int]:
    if isinstance(method, Es):
        return checkpoint_updates(method, records), updates(method, records)
    return checkpoint_steps(method, records), total_steps(method, records)
