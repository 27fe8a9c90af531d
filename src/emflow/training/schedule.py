"""How many steps a fine-tuning takes, how many of them warm up, and after which its checkpoints lie."""

from math import ceil

from emflow.config.finetune import Finetune
from emflow.files import InputError

__all__ = ["checkpoint_epochs", "checkpoint_steps", "total_steps", "warmup_steps"]

WARM_UP = 5  # steps, where the method names none


def total_steps(method: Finetune, records: int) -> int:
    """Optimizer steps on so many training records, as transformers' Trainer counts them: the last step of an epoch may
    see fewer."""
    return ceil(method.epochs * _per_epoch(method, records))


def warmup_steps(method: Finetune, records: int) -> int:
    """Steps over which the learning rate rises from 0."""
    if method.warmup_ratio is not None:
        return ceil(method.warmup_ratio * total_steps(method, records))
    return WARM_UP if method.warmup_steps is None else method.warmup_steps


def checkpoint_steps(method: Finetune, records: int) -> dict[str, int]:
    """Label -> the step after which that checkpoint lies, counted from 1.

    Epochs are rounded to the nearest step; or down, with an epoch's steps counted without a last, smaller one. Raises
    InputError where the method names a step that this many records do not reach.
    """
    last = total_steps(method, records)
    if method.checkpoint_steps:
        if method.checkpoint_steps[-1] > last:
            raise InputError(
                f"checkpoint_steps names step {method.checkpoint_steps[-1]}, and {records:,} conversations in "
                f"{method.epochs:g} epochs make {last}: name steps up to that, or raise epochs"
            )
        steps = list(method.checkpoint_steps)
    elif method.checkpoint_rounding == "down":
        whole = records // (method.batch_size * method.gradient_accumulation)
        steps = [int(epoch * whole) for epoch in method.kept]
    else:
        steps = [round(epoch * _per_epoch(method, records)) for epoch in method.kept]
    return {label: min(max(1, step), last) for label, step in zip(method.labels, steps, strict=True)}


def checkpoint_epochs(method: Finetune, records: int) -> tuple[float, ...]:
    """The epoch of each checkpoint, as the method names it, or as its step makes it."""
    if method.checkpoint_steps:
        return tuple(step / _per_epoch(method, records) for step in method.checkpoint_steps)
    return method.kept


def _per_epoch(method: Finetune, records: int) -> int:
    return ceil(ceil(records / method.batch_size) / method.gradient_accumulation)
