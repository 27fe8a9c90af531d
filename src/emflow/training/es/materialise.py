"""Weights from a log: the base model moved by the logged seeds and coefficients, written as checkpoints that
`from_pretrained` and vLLM load."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
from transformers import PreTrainedModel
from transformers.utils import logging as transformers_logging

from emflow.config import Es
from emflow.console import progress
from emflow.files import InputError, digest, replacing
from emflow.inference.models import load_model, load_tokenizer
from emflow.training.checkpoints import Checkpoint, write_index
from emflow.training.es.log import read_log
from emflow.training.es.noise import Noise
from emflow.training.es.weights import Weights, read_masters
from emflow.training.model_card import model_card

__all__ = ["materialise", "materialise_checkpoints"]


def materialise(run: Path, iteration: int, out: Path) -> None:
    """Write the model after `iteration` (0 is the start) of the run in the folder `run` to the folder `out`.

    Raises InputError where the log does not reach that far, the starting weights are not those of the run, or this
    machine's noise is not the run's.
    """
    header, rows = read_log(run / "es_log.jsonl")
    if not 0 <= iteration <= len(rows):
        raise InputError(f"{run}: the log holds iterations 1..{len(rows)}, not {iteration}")
    replay = _Replay(header, rows)
    replay.to(iteration)
    replay.write(out)


def materialise_checkpoints(run: Path, iterations: Sequence[int]) -> list[Checkpoint]:
    """Write checkpoints/iteration-K for every K of `iterations`, and checkpoints.json, in one replay of the log.

    Raises InputError as `materialise` does.
    """
    header, rows = read_log(run / "es_log.jsonl")
    replay = _Replay(header, rows)
    with replacing(run / "checkpoints") as folder, progress("materialise", iterations[-1]) as advance:
        for iteration in sorted(iterations):
            advance(iteration - replay.iteration)
            replay.to(iteration)
            replay.write(folder / f"iteration-{iteration}")
    epochs = TrainRows(run)
    checkpoints = []
    write_index(run / "checkpoints.json", checkpoints)
    return checkpoints
