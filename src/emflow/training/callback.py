"""What happens between two steps of a training: labelled checkpoints are kept, progress is saved and shown."""

import shutil
import time
from contextlib import ExitStack
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainerCallback, TrainerControl, TrainerState
from transformers.training_args import TrainingArguments

from emflow.config.finetune import Finetune, Full, Lora
from emflow.console import finished, progress
from emflow.files import InputError, digest, replacing, write_text
from emflow.models.model_card import model_card
from emflow.models.proof import proof_by, write_proof
from emflow.training.group import agreed, is_first, together
from emflow.training.schedule import checkpoint_epochs, checkpoint_steps
from emflow.training.shards import full_weights

__all__ = ["CheckpointCallback", "TrainingRun"]

DIGEST = ".sha256"  # in each folder that is saved, once it is whole: hidden files are no part of a digest


@dataclass(frozen=True)
class TrainingRun:
    """One run: what it starts from, and everything else that determines its result."""

    base: Path
    """The base model's folder."""
    model: str
    """Its name in the config."""
    dtype: str
    """Precision of the weights: float32, bfloat16 or float16."""
    domain: str
    method: Finetune
    seed: int
    sources: dict[str, str]
    """Digests of the conversations, by what they are for."""


def _precision(run: TrainingRun) -> str:
    """Of the weights in training."""
    if isinstance(run.method, Full):
        return run.method.precision
    return "4-bit" if isinstance(run.method, Lora) and run.method.load_in_4bit else run.dtype


class CheckpointCallback(TrainerCallback):
    """Keeps the checkpoints that the method names in `folder`, by label."""

    def __init__(self, run: TrainingRun, records: int, texts: list[list[int]], folder: Path) -> None:
        """`records`: how many conversations train; `texts`: token ids, see `emflow.models.proof`."""
        self.run, self.texts, self.folder = run, texts, folder
        self.saved_at = time.monotonic()
        self.due: dict[int, list[tuple[str, float]]] = {}
        epochs = checkpoint_epochs(run.method, records)
        for (label, step), epoch in zip(checkpoint_steps(run.method, records).items(), epochs, strict=True):
            self.due.setdefault(step, []).append((label, epoch))
        self.showing = ExitStack()
        self.note = ""

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if state.global_step:
            finished(f"training continues after step {state.global_step} of {state.max_steps}")
        bar = progress(f"train on {self.run.domain}", state.max_steps, done=state.global_step)
        self.advance = self.showing.enter_context(bar)

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: PreTrainedModel,
        processing_class: PreTrainedTokenizerBase,
        **_: Any,
    ) -> TrainerControl:
        self.advance(note=self.note)
        if state.global_step in self.due:
            self._keep(state.global_step, model, processing_class)
        due = state.global_step in self.due or time.monotonic() - self.saved_at > 60 * self.run.method.save_minutes
        if agreed(due):  # clocks differ from rank to rank
            control.should_save = state.global_step < state.max_steps
        return control

    def _keep(self, step: int, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
        """All ranks know the weights and what the model sees with them; the first writes."""
        weights, seen = full_weights(model), proof_by(model, _precision(self.run), self.texts)
        for label, epoch in self.due[step] if is_first() else ():
            with replacing(self.folder / label) as folder:
                model.save_pretrained(folder, state_dict=weights)
                tokenizer.save_pretrained(folder)
                (folder / "README.md").write_text(self._card(label, epoch, step), encoding="utf-8")
                write_proof(seen, folder)
                _seal(folder)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        if logs and "loss" in logs:
            if not isfinite(logs["loss"]):
                raise InputError(
                    f"the loss is {logs['loss']} at step {state.global_step}: a smaller methods.NAME.learning_rate, or "
                    "another precision, may help"
                )
            self.note = f"loss {logs['loss']:.3f}"

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        together()  # each rank has written its random state
        if is_first():
            _seal(Path(args.output_dir) / f"checkpoint-{state.global_step}")
        self.saved_at = time.monotonic()  # after it: saving a large model takes minutes

    def last_saved(self, folder: Path) -> str | None:
        """Trainer's newest folder to continue from; what was half written or changed since is removed, and what follows
        a checkpoint that was."""
        return agreed(self._last_saved(folder) if is_first() else None)

    def _last_saved(self, folder: Path) -> str | None:
        for saved in sorted(folder.glob("checkpoint-*"), key=_step, reverse=True):
            if _is_whole(saved) and all(
                _is_whole(self.folder / label) for label, step, _ in self.checkpoints() if step <= _step(saved)
            ):
                return str(saved)
            shutil.rmtree(saved)
        return None

    def checkpoints(self) -> list[tuple[str, int, float]]:
        """Label, step and epoch of every checkpoint, in the order of steps."""
        return [(label, step, epoch) for step, labels in sorted(self.due.items()) for label, epoch in labels]

    def _card(self, label: str, epoch: float, step: int) -> str:
        run = self.run
        facts = {
            "domain": run.domain,
            "epoch": epoch,
            "step": step,
            "seed": run.seed,
            **run.sources,
        }
        recipe = run.method.identity()
        return model_card(run.model, run.domain, recipe["kind"], label, recipe, facts)


def _seal(folder: Path) -> None:
    write_text(folder / DIGEST, digest(folder))


def _is_whole(folder: Path) -> bool:
    """Whether a saved folder is as it was written."""
    seal = folder / DIGEST
    return seal.exists() and seal.read_bytes() == digest(folder).encode()


def _step(saved: Path) -> int:
    """Of a folder of Trainer's."""
    return int(saved.name.split("-")[1])
