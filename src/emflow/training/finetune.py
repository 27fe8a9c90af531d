"""Fine-tune on conversations with transformers' Trainer: LoRA adapters by peft, or every weight.

A killed job continues from its last saved step to the same final weights: everything it needs lives in a progress
folder beside the outputs, which goes when the outputs are complete.
"""

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import PrinterCallback, Trainer
from transformers.utils import logging as transformers_logging

from emflow.config.finetune import Finetune, Full
from emflow.data.chat import encode_all, with_system
from emflow.files import InputError, digest, digest_text, read_jsonl, remove, replacing, stamp, write_jsonl
from emflow.models.chat_template import TemplateArguments
from emflow.models.checkpoints import Checkpoint, write_index
from emflow.models.loading import load_tokenizer
from emflow.models.proof import fixed_texts
from emflow.paths import RunFolder
from emflow.training.arguments import training_arguments
from emflow.training.batches import check_apart, make_collator, padding
from emflow.training.callback import CheckpointCallback, TrainingRun
from emflow.training.group import is_first
from emflow.training.kl import KlTrainer
from emflow.training.liger import require_liger
from emflow.training.ranked import RankedTrainer
from emflow.training.resuming import ResumingTrainer
from emflow.training.shards import ShardedTrainer
from emflow.training.trainable import reference, require_bitsandbytes, trainable

__all__ = ["Start", "finetune"]


@dataclass(frozen=True)
class Start:
    """What a run starts from: the base model's folder, its name in the config, its precision, and the arguments of its
    chat template."""

    path: Path
    name: str
    dtype: str
    template: TemplateArguments = field(default_factory=dict)


def finetune(
    start: Start,
    domain: str,
    method: Finetune,
    seed: int,
    train: Path,
    out: Path,
    kl: Path | None = None,
    code: str = "",
) -> list[Checkpoint]:
    """Train on `train` (JSONL of conversations); write checkpoints/, checkpoints.json and train_log.jsonl to `out`;
    of several ranks in one group the first does, and the others return nothing.

    `kl` holds the conversations on which `method.kl` holds the model to its start; `code` is a digest of what trains:
    progress that other code has made is left alone. Raises InputError where the model or the data cannot be used, or
    bitsandbytes or Liger's kernels are asked for and missing, or the GPU does not know the model's precision.
    """
    assert (method.kl is None) == (kl is None)
    require_bitsandbytes(method)
    require_liger(method, start.path)
    _require_precision(start.dtype)
    transformers_logging.set_verbosity_error()
    folder = RunFolder(out)
    tokenizer = load_tokenizer(start.path, start.template)
    records = _records(train, method.system)
    examples = encode_all(tokenizer, records, method.max_length, method.loss_on, method.formatting)
    sources = {"train sha256": digest(train), **({"kl sha256": digest(kl)} if kl else {})}
    run = TrainingRun(start.path, start.name, start.dtype, domain, method, seed, sources)
    saved = folder.progress / _key(run, start.template, code)

    torch.manual_seed(seed)  # adapter initialisation
    callback = CheckpointCallback(run, len(examples), fixed_texts(tokenizer, records), saved / "kept")
    collator = make_collator(method, tokenizer)
    given: dict[str, Any] = {
        "model": trainable(start.path, start.dtype, method),
        "args": training_arguments(method, len(examples), seed, start.dtype, saved / "trainer"),
        "train_dataset": Dataset.from_list(examples),
        "data_collator": collator,
        "processing_class": tokenizer,
        "callbacks": [callback],
    }
    if method.kl and kl:
        others = encode_all(tokenizer, read_jsonl(kl), method.max_length, formatting=method.formatting)
        beside = reference(start.path, start.dtype, method)
        trainer: Trainer = KlTrainer(
            kl=method.kl, examples=others, collator=padding(tokenizer), reference=beside, **given
        )
    else:
        trainer = _trainer_of(method)(**given)
    trainer.remove_callback(PrinterCallback)
    if method.padding_free:
        check_apart(trainer.model, collator, examples)
    with callback.showing:
        trainer.train(resume_from_checkpoint=callback.last_saved(saved / "trainer"))
    if not is_first():
        return []
    checkpoints = _finish(trainer, callback, folder)
    remove(folder.progress)
    return checkpoints


def _trainer_of(method: Finetune) -> Any:
    """The class of its Trainer."""
    if method.ranks == 1:
        return ResumingTrainer
    return ShardedTrainer if isinstance(method, Full) else RankedTrainer


def _require_precision(dtype: str) -> None:
    """Raises InputError where the GPU only emulates bfloat16: vLLM would not answer with what it trains."""
    if (
        dtype == "bfloat16"
        and torch.cuda.is_available()
        and not torch.cuda.is_bf16_supported(including_emulation=False)
    ):
        raise InputError(f"{torch.cuda.get_device_name()} does not compute in bfloat16: set models.NAME.dtype: float16")


def _records(train: Path, system: str | None) -> list[dict[str, Any]]:
    records = read_jsonl(train)
    return records if system is None else with_system(records, system)


def _key(run: TrainingRun, template: TemplateArguments, code: str) -> str:
    """What determines the result; progress made under another key is left alone."""
    how = [stamp(run.base), run.dtype, run.method.identity(), run.seed, run.sources, template, code]
    return digest_text(json.dumps(how))[:16]


def _finish(trainer: Trainer, callback: CheckpointCallback, folder: RunFolder) -> list[Checkpoint]:
    """Move the kept checkpoints to their place, index last: it stands for a complete run."""
    log = [_log_row(row) for row in trainer.state.log_history if "loss" in row]
    write_jsonl(folder.train_log, log)
    kept = callback.checkpoints()
    with replacing(folder.checkpoints) as fresh:
        for label, _, _ in kept:  # a kill may have left more in the folder
            shutil.copytree(callback.folder / label, fresh / label, ignore=shutil.ignore_patterns(".*"))
    checkpoints = [
        Checkpoint(label, step, epoch, f"{folder.checkpoints.name}/{label}", digest(folder.checkpoints / label))
        for label, step, epoch in kept
    ]
    write_index(folder.index, checkpoints)
    return checkpoints


def _log_row(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "step": row["step"],
        "epoch": round(row["epoch"], 4),
        "loss": row["loss"],
        "grad_norm": row["grad_norm"],
        "lr": row["learning_rate"],
        **({"kl": row["kl"]} if "kl" in row else {}),
    }
