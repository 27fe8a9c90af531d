"""Weights from a log: the base model moved by the logged seeds and coefficients, written as checkpoints that
`from_pretrained` and vLLM load."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
from transformers.utils import logging as transformers_logging

from emflow.config.es import Es
from emflow.console import progress
from emflow.files import InputError, digest, replacing
from emflow.models.checkpoints import Checkpoint, write_index
from emflow.models.loading import load_model, load_tokenizer
from emflow.models.model_card import model_card
from emflow.models.proof import prove_by
from emflow.paths import RunFolder
from emflow.training.es.log import Iteration, read_log
from emflow.training.es.model_weights import model_weights
from emflow.training.es.noise import Noise
from emflow.training.es.schedule import checkpoint_updates

__all__ = ["materialise", "materialise_checkpoints"]


def materialise(run: Path, iteration: int, out: Path) -> None:
    """Write the model after `iteration` (0 is the start) of the run in the folder `run` to the folder `out`.

    Raises InputError where the log does not reach that far, the starting weights are not those of the run, or this
    machine's noise is not the run's.
    """
    header, rows = read_log(RunFolder(run).es_log)
    if not 0 <= iteration <= len(rows):
        raise InputError(f"{run}: the log holds iterations 1..{len(rows)}, not {iteration}")
    replay = _Replay(header, rows)
    replay.to(iteration)
    replay.write(out)


def materialise_checkpoints(run: Path, kept: Sequence[int], of: Mapping[str, str | int]) -> list[Checkpoint]:
    """Write the checkpoints after the epochs or iterations `kept` (rising), and checkpoints.json, in one replay.

    `of` is what the log's header must say of the run, e.g. its domain. Raises InputError where it says something else,
    and as `materialise` does.
    """
    log = RunFolder(run).es_log
    header, rows = read_log(log)
    for key, value in of.items():
        if header[key] != value:
            raise InputError(f"{log} is of another {key} ({header[key]}, not {value}): delete it, and it is made again")
    replay = _Replay(header, rows)
    folder = RunFolder(run).checkpoints
    due = checkpoint_updates(replay.method.model_copy(update={"checkpoints": tuple(kept)}), header["records"])
    if max(due.values()) > len(rows):
        raise InputError(f"{log} holds {len(rows)} iterations, and a checkpoint is due after {max(due.values())}")
    with replacing(folder) as fresh, progress("materialise", max(due.values())) as advance:
        for label, iteration in due.items():
            advance(iteration - replay.iteration)
            replay.to(iteration)
            replay.write(fresh / label)
    checkpoints = []
    for label, iteration in due.items():
        epoch = round(iteration * header["epochs_per_iteration"], 9)
        checkpoints.append(Checkpoint(label, iteration, epoch, f"checkpoints/{label}", digest(folder / label)))
    write_index(RunFolder(run).index, checkpoints)
    return checkpoints


class _Replay:
    """The weights of a run, moved forward through its log."""

    def __init__(self, header: dict[str, Any], rows: list[Iteration]) -> None:
        transformers_logging.disable_progress_bar()
        self.header, self.rows, self.iteration = header, rows, 0
        self.method = TypeAdapter(Es).validate_python(header["method"])
        start = Path(header["start"])
        device = _same_device(header["generator"])
        self.model = load_model(start, self.method.dtype).to(device)
        self.tokenizer = load_tokenizer(start, header.get("chat_template_kwargs"))
        self.weights = model_weights(start, self.model, self.method)
        _require_same(header["generator"], self.weights.noise)
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
            (folder / "README.md").write_text(self._card(), encoding="utf-8")
            prove_by(self.model, self.method.dtype, self.header.get("proof_texts", []), folder)

    def _card(self) -> str:
        header, recipe = self.header, self.method.identity("checkpoints")
        facts = {
            "domain": header["domain"],
            "iteration": f"{self.iteration} of {len(self.rows)}",
            "seed": header["seed"],
            "started from": header["start"],
            "train sha256": header["train_sha256"],
            "noise drawn by": header["generator"],
        }
        return model_card(header["model"], header["domain"], "es", f"iteration-{self.iteration}", recipe, facts)


def _same_device(generator: str) -> torch.device:
    """Where the noise of the run's log was drawn. Raises InputError where there is none of its kind here."""
    device = torch.device(generator.split("-")[1])
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InputError(f"the run's noise was drawn by {generator}, and there is no GPU here; replay it where it ran")
    return device


def _require_same(generator: str, noise: Noise) -> None:
    """Raises InputError where the noise drawn here is not that of the run's log."""
    if noise.generator != generator:
        raise InputError(
            f"the run's noise was drawn by {generator}, and here it would be {noise.generator} (another processor, GPU "
            "or version of torch): replay it where it ran"
        )
