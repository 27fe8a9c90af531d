"""Fine-tune on conversations with transformers' Trainer: LoRA adapters by peft, or every weight.

A killed job continues from its last saved step to the same final weights: everything it needs lives in a progress
folder beside the outputs, which goes when the outputs are complete.
"""

import json
import shutil
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from transformers import DataCollatorForSeq2Seq, PrinterCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.utils import logging as transformers_logging

from emflow.config import Finetune, Lora
from emflow.console import made, progress
from emflow.files import digest, digest_text, read_jsonl, replacing, stamp, write_jsonl, write_text
from emflow.inference.models import load_model, load_tokenizer
from emflow.training.chat import IGNORED, encode_all
from emflow.training.checkpoints import Checkpoint, write_index
from emflow.training.model_card import model_card

__all__ = ["Start", "finetune"]


@dataclass(frozen=True)
class Start:
    """What a run starts from: the base model's folder, its name in the config, and its precision."""

    path: Path
    name: str
    dtype: str


def finetune(start: Start, domain: str, method: Lora | Finetune, seed: int, train: Path, out: Path) -> list[Checkpoint]:
    """Train on `train` (JSONL of conversations); write checkpoints/, checkpoints.json and train_log.jsonl to `out`.

    Raises InputError where the model or the data cannot be used.
    """
    transformers_logging.set_verbosity_error()
    tokenizer = load_tokenizer(start.path)
    examples = encode_all(tokenizer, read_jsonl(train), method.max_length)
    data = digest(train)
    saved = out / "train.progress" / _key(start, method, seed, data)

    torch.manual_seed(seed)  # adapter initialisation
    # float32 masters: in bfloat16 most updates of full fine-tuning would be rounded away
    model = load_model(start.path, start.dtype if isinstance(method, Lora) else "float32")
    if isinstance(method, Lora):
        model = get_peft_model(model, _lora_config(method))
        # peft keeps names in a set, whose order changes from process to process, and so would the files' digests
        model.peft_config["default"].target_modules = sorted(model.peft_config["default"].target_modules)
    keeper = _Keeper(start, domain, method, seed, data, saved)
    trainer = Trainer(
        model=model,
        args=_arguments(method, seed, start.dtype, saved / "trainer"),
        train_dataset=Dataset.from_list(examples),
        data_collator=DataCollatorForSeq2Seq(tokenizer, label_pad_token_id=IGNORED),
        processing_class=tokenizer,
        callbacks=[keeper],
    )
    trainer.remove_callback(PrinterCallback)
    with keeper.showing:
        trainer.train(resume_from_checkpoint=_last_saved(saved / "trainer"))
    checkpoints = _finish(trainer, keeper, out)
    shutil.rmtree(out / "train.progress")
    return checkpoints


def _key(start: Start, method: Finetune, seed: int, data: str) -> str:
    """What determines the result; progress made under another key is left alone."""
    return digest_text(json.dumps([stamp(start.path), start.dtype, method.model_dump(), seed, data]))[:16]


def _lora_config(method: Lora) -> LoraConfig:
    return LoraConfig(
        task_type="CAUSAL_LM",
        r=method.rank,
        lora_alpha=method.alpha,
        use_rslora=method.rslora,
        lora_dropout=method.dropout,
        target_modules=list(method.target_modules),
        layers_to_transform=list(method.layers) if method.layers is not None else None,
    )


def _arguments(method: Finetune, seed: int, dtype: str, folder: Path) -> TrainingArguments:
    return TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=method.epochs,
        per_device_train_batch_size=method.batch_size,
        gradient_accumulation_steps=method.gradient_accumulation,
        learning_rate=method.learning_rate,
        lr_scheduler_type=method.scheduler,
        warmup_steps=method.warmup_steps,
        optim=method.optimizer,
        weight_decay=method.weight_decay,
        max_grad_norm=method.max_grad_norm,
        logging_steps=method.log_steps,
        save_strategy="no",  # the keeper says when
        save_total_limit=2,
        seed=seed,
        data_seed=seed,
        bf16=dtype == "bfloat16",
        fp16=dtype == "float16",
        report_to=[],
        disable_tqdm=True,
        dataloader_pin_memory=torch.cuda.is_available(),
    )


class _Keeper(TrainerCallback):
    """Keeps the labelled checkpoints, saves progress, and shows it."""

    def __init__(self, start: Start, domain: str, method: Finetune, seed: int, data: str, saved: Path) -> None:
        self.start, self.domain, self.method, self.seed, self.data = start, domain, method, seed, data
        self.folder = saved / "checkpoints"
        self.saved_at = time.monotonic()
        self.due: dict[int, list[tuple[str, float]]] = {}
        self.showing = ExitStack()
        self.note = ""

    def on_train_begin(self, args, state, control, **_):
        if state.global_step:
            made(f"training continues after step {state.global_step} of {state.max_steps}")
        bar = progress(f"train on {self.domain}", state.max_steps, done=state.global_step)
        self.advance = self.showing.enter_context(bar)
        per_epoch = state.max_steps / args.num_train_epochs
        for label, epoch in zip(self.method.labels, self.method.checkpoints, strict=True):
            step = min(max(1, round(epoch * per_epoch)), state.max_steps)
            self.due.setdefault(step, []).append((label, epoch))

    def on_step_end(self, args, state, control, model=None, processing_class=None, **_):
        self.advance(note=self.note)
        for label, epoch in self.due.get(state.global_step, ()):
            with replacing(self.folder / label) as folder:
                model.save_pretrained(folder)
                processing_class.save_pretrained(folder)
                (folder / "README.md").write_text(self.card(label, epoch, state.global_step))
        if state.global_step in self.due or time.monotonic() - self.saved_at > 60 * self.method.save_minutes:
            control.should_save = state.global_step < state.max_steps
            self.saved_at = time.monotonic()
        return control

    def on_log(self, args, state, control, logs=None, **_):
        if "loss" in (logs or {}):
            self.note = f"loss {logs['loss']:.3f}"

    def on_save(self, args, state, control, **_):
        # Trainer's own folder may be half written when a kill comes; this mark says that it is whole.
        write_text(Path(args.output_dir) / f"checkpoint-{state.global_step}" / "whole", "")

    def card(self, label: str, epoch: float, step: int) -> str:
        facts = {
            "domain": self.domain,
            "epoch": epoch,
            "step": step,
            "seed": self.seed,
            "train sha256": self.data,
        }
        recipe = self.method.model_dump(mode="json", exclude={"log_steps", "save_minutes"})
        return model_card(self.start.name, self.domain, recipe["kind"], label, recipe, facts)

    def checkpoints(self) -> list[tuple[str, int, float]]:
        return [(label, step, epoch) for step, labels in sorted(self.due.items()) for label, epoch in labels]


def _last_saved(folder: Path) -> str | None:
    """Trainer's newest whole folder; half-written ones are removed."""
    whole = []
    for saved in folder.glob("checkpoint-*"):
        if (saved / "whole").exists():
            whole.append(saved)
        else:
            shutil.rmtree(saved)
    return str(max(whole, key=lambda saved: int(saved.name.split("-")[1]))) if whole else None


def _finish(trainer: Trainer, keeper: _Keeper, out: Path) -> list[Checkpoint]:
    """Move the kept checkpoints to their place, index last: it stands for a complete run."""
    log = [_log_row(row) for row in trainer.state.log_history if "loss" in row]
    write_jsonl(out / "train_log.jsonl", log)
    with replacing(out / "checkpoints") as folder:
        shutil.copytree(keeper.folder, folder)
    checkpoints = [
        Checkpoint(label, step, epoch, f"checkpoints/{label}", digest(out / "checkpoints" / label))
        for label, step, epoch in keeper.checkpoints()
    ]
    write_index(out / "checkpoints.json", checkpoints)
    return checkpoints


def _log_row(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "step": row["step"],
        "epoch": round(row["epoch"], 4),
        "loss": row["loss"],
        "grad_norm": row["grad_norm"],
        "lr": row["learning_rate"],
    }
