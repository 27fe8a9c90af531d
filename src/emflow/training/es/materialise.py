"""Weights from a log: the base model moved by the logged seeds and coefficients, written as checkpoints that
`from_pretrained` and vLLM load."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
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
    """Write checkpoints/iteration-K for each of `iterations` (rising), and checkpoints.json, in one replay of the log.

    Raises InputError as `materialise` does.
    """
    header, rows = read_log(run / "es_log.jsonl")
    replay = _Replay(header, rows)
    folder = run / "checkpoints"
    with replacing(folder) as fresh, progress("materialise", iterations[-1]) as advance:
        for iteration in iterations:
            advance(iteration - replay.iteration)
            replay.to(iteration)
            replay.write(fresh / f"iteration-{iteration}")
    checkpoints = []
    for k in iterations:
        label, epoch = f"iteration-{k}", k * header["epochs_per_iteration"]
        checkpoints.append(Checkpoint(label, k, epoch, f"checkpoints/{label}", digest(folder / label)))
    write_index(run / "checkpoints.json", checkpoints)
    return checkpoints


class _Replay:
    """The weights of a run, moved forward through its log."""

    def __init__(self, header: dict[str, Any], rows: list[dict[str, Any]]) -> None:
        transformers_logging.disable_progress_bar()
        self.header, self.rows, self.iteration = header, rows, 0
        self.method = TypeAdapter(Es).validate_python(header["method"])
        start = Path(header["start"])
        noise = _same_noise(header["generator"], self.method)
        self.model = load_model(start, self.method.dtype).to(noise.device)
        self.tokenizer = load_tokenizer(start)
        places = dict(self.model.named_parameters())
        self.weights = Weights(read_masters(start, places, noise.device), places, noise, self.method.decay)
        if self.weights.digest() != header["masters_sha256"]:
            raise InputError(f"{start} does not hold the weights that the run started from")

    def to(self, iteration: int) -> None:
        """Go on to the weights after this iteration, and check that they are the run's, bit for bit."""
        for row in self.rows[self.iteration : iteration]:
            self.weights.update(row["seeds"], row["coefficients"])
        self.iteration = iteration
        if iteration and self.weights.digest() != self.rows[iteration - 1]["masters_sha256"]:
            raise InputError(f"iteration {iteration} gives other weights than the log says: the log was changed")

    def write(self, out: Path) -> None:
        """The model as it is now, in the precision of the run's engine, with tokenizer and model card."""
        self.weights.restore()
        with replacing(out) as folder:
            self.model.save_pretrained(folder)
            self.tokenizer.save_pretrained(folder)
            (folder / "README.md").write_text(self._card())

    def _card(self) -> str:
        header, recipe = self.header, self.method.model_dump(mode="json", exclude={"checkpoints", "ranks", "engine"})
        facts = {
            "domain": header["domain"],
            "iteration": f"{self.iteration} of {len(self.rows)}",
            "seed": header["seed"],
            "started from": header["start"],
            "train sha256": header["train_sha256"],
            "noise drawn by": header["generator"],
        }
        return model_card(header["model"], header["domain"], "es", f"iteration-{self.iteration}", recipe, facts)


def _same_noise(generator: str, method: Es) -> Noise:
    """The noise of the run's log. Raises InputError where this machine would draw another."""
    device = torch.device(generator.split("-")[1])
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InputError(f"the run's noise was drawn by {generator}, and there is no GPU here; replay it where it ran")
    noise = Noise(device, method.noise)
    if noise.generator != generator:
        raise InputError(
            f"the run's noise was drawn by {generator}, and here it would be {noise.generator} (another processor, GPU "
            "or version of torch): replay it where it ran"
        )
    return noise
