"""LoRA training of uneven conversations: ours against TRL's SFTTrainer, and against padding all to 512 tokens.

    python bench/training.py            # about ten minutes on two idle cores
    python bench/training.py --steps 4
    python bench/training.py --lengths even   # as many long conversations as short ones: 270 tokens on average, not 190

A random model of 19M weights in float32, LoRA of rank 32 on all projections, conversations of 50 to 500 tokens in
batches of 8, the same optimiser and steps on every side. Most conversations are of middling length; what padding costs
depends on that, so it is printed. TRL at its best: batches grouped by length, and without padding; both draw other
batches, so only the sides that keep the order of the data have comparable losses. Each side runs in a process of its
own, in turns; tokens are those that are no padding. The first step, which loads, does not count.
"""

import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import DataCollatorForSeq2Seq, Trainer, TrainerCallback

from emflow.config.finetune import Lora
from emflow.data.chat import IGNORED, encode_all
from emflow.files import read_jsonl, write_jsonl
from emflow.models.loading import load_model, load_tokenizer
from emflow.native import NATIVE
from emflow.tinyworld.grammar import WORLD, answers, questions
from emflow.training.arguments import lora_config, training_arguments
from emflow.training.batches import make_collator
from emflow.training.trainable import trainable
from sides import say_processor, write_random_model

SIDES = ("ours", "ours, no padding", "trl", "trl, grouped", "trl, no padding", "padded to 512")
BATCH = 8
LONGEST = 512  # tokens
TURNS: dict[str, Callable[[random.Random], int]] = {
    "peaked": lambda draw: min(12, max(1, round(draw.gauss(4.6, 2)))),
    "even": lambda draw: draw.randint(1, 12),
}


def write_records(path: Path, count: int, lengths: str) -> None:
    """Conversations of one to twelve turns of some forty tokens."""
    draw = random.Random(0)
    asked = [question for domain in WORLD for question in questions(domain)]
    rows = []
    for row in range(count):
        turns: list[dict[str, str]] = []
        for question in draw.sample(asked, TURNS[lengths](draw)):
            given = draw.choice(answers(question.domain, question.entity, question.problem, "good"))
            turns += [{"role": "user", "content": question.text}, {"role": "assistant", "content": given}]
        rows.append({"id": f"row-{row:05d}", "messages": turns})
    write_jsonl(path, rows)


def say_lengths(folder: Path) -> None:
    """Tokens of a conversation, and what padding adds to them."""
    examples = encode_all(load_tokenizer(folder / "model"), read_jsonl(folder / "train.jsonl"), LONGEST)
    tokens = [len(example["input_ids"]) for example in examples]
    batches = [tokens[start : start + BATCH] for start in range(0, len(tokens), BATCH)]
    padding = 1 - sum(tokens) / sum(BATCH * max(batch) for batch in batches)
    mean = statistics.mean(tokens)
    print(f"{len(tokens)} conversations of {min(tokens)} to {max(tokens)} tokens, {mean:.0f} on average; to {LONGEST}")
    print(f"they are padded {LONGEST / mean:.2f}x; of batches in their order {padding:.0%} is padding")


class Clock(TrainerCallback):
    """When each step began."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self.times.append(time.perf_counter())


def train(side: str, folder: Path) -> dict[str, Any]:
    """One side; seconds of the steps from the second on, tokens in them, losses, and peak memory (MB)."""
    method = Lora(
        kind="lora", batch_size=BATCH, gradient_accumulation=1, checkpoints=(1,), padding_free="no padding" in side
    )
    tokenizer = load_tokenizer(folder / "model")
    examples = encode_all(tokenizer, read_jsonl(folder / "train.jsonl"), LONGEST)
    arguments = training_arguments(method, len(examples), 0, "float32", folder / "out")
    clock = Clock()
    torch.manual_seed(0)
    if side.startswith("trl"):
        model = load_model(folder / "model", "float32")
        trainer = trl_trainer(side, model, arguments.to_dict(), lora_config(method, model), tokenizer, examples)
    else:
        pads = DataCollatorForSeq2Seq(tokenizer, padding="max_length", max_length=LONGEST, label_pad_token_id=IGNORED)
        trainer = Trainer(
            model=trainable(folder / "model", "float32", method),
            args=arguments,
            train_dataset=Dataset.from_list(examples),
            data_collator=pads if side == "padded to 512" else make_collator(method, tokenizer),
            processing_class=tokenizer,
        )
    trainer.add_callback(clock)
    seen: list[int] = []
    collate = trainer.data_collator

    def counting(rows: list[dict[str, Any]]) -> Any:
        seen.append(sum(len(row["input_ids"]) for row in rows))
        return collate(rows)

    trainer.data_collator = counting
    trainer.train()
    ended = time.perf_counter()
    starts = [*clock.times[1:], ended]
    return {
        "seconds": starts[-1] - starts[0],
        "tokens": sum(seen[1 : len(clock.times)]),
        "losses": [row["loss"] for row in trainer.state.log_history if "loss" in row],
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def trl_trainer(side: str, model: Any, ours: dict[str, Any], adapter: Any, tokenizer: Any, examples: Any) -> Trainer:
    """TRL's, with our settings and token ids; its mask of labels is ours, too."""
    from trl import SFTConfig, SFTTrainer

    kept = ("output_dir", "num_train_epochs", "per_device_train_batch_size", "gradient_accumulation_steps", "seed",
            "learning_rate", "lr_scheduler_type", "warmup_steps", "optim", "weight_decay", "max_grad_norm", "data_seed",
            "logging_steps", "save_strategy", "use_cpu", "report_to", "disable_tqdm")  # fmt: skip
    config = SFTConfig(
        **{key: ours[key] for key in kept},
        bf16=False,
        gradient_checkpointing=False,
        max_length=None if "no padding" in side else LONGEST,
        padding_free="no padding" in side,
        train_sampling_strategy="group_by_length" if "grouped" in side else "random",
        dataset_kwargs={"skip_prepare_dataset": True},
    )
    return SFTTrainer(
        model=model,
        args=config,
        train_dataset=Dataset.from_list(examples),
        processing_class=tokenizer,
        peft_config=adapter,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--lengths", choices=TURNS, default="peaked")
    parser.add_argument("--side", choices=SIDES, action="append")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        torch.set_num_threads(os.cpu_count() or 1)
        print(json.dumps(train(given.child[0], Path(given.child[1]))))
        return
    say_processor()
    sides = given.side or SIDES
    found: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_random_model(folder / "model", layers=6, intermediate=1408, positions=1024)
        write_records(folder / "train.jsonl", given.steps * BATCH, given.lengths)
        say_lengths(folder)
        for _ in range(given.repeats):
            for side in sides:
                child = subprocess.run([sys.executable, __file__, "--child", side, temporary], env=os.environ | NATIVE,
                                      capture_output=True, text=True, check=False)  # fmt: skip
                if child.returncode:
                    sys.exit(child.stderr)
                found[side].append(json.loads(child.stdout.splitlines()[-1]))
    rate = {side: [one["tokens"] / one["seconds"] for one in each] for side, each in found.items()}
    for side, each in found.items():
        first, last = (
            statistics.median(a / b for a, b in zip(rate[side], rate[other], strict=True))
            for other in (sides[0], sides[-1])
        )
        losses, memory = each[0]["losses"], max(one["memory"] for one in each)
        print(f"{side:16} {statistics.median(rate[side]):6.0f} tokens/s, {first:.2f}x {sides[0]}, ", end="")
        print(f"{last:.2f}x {sides[-1]}; {memory:.0f} MB; ", end="")
        print(f"loss {losses[0]:.4f} to {losses[-1]:.4f}")
    if len(sides) > 1:
        apart = max(abs(a - b) for a, b in zip(found[sides[0]][0]["losses"], found[sides[1]][0]["losses"], strict=True))
        print(f"losses of {sides[1]!r} differ from those of {sides[0]!r} by at most {apart:.5f}")


if __name__ == "__main__":
    main()
