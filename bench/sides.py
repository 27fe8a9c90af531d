"""What benchmarks share: how they start, a random model of the tiny world's words, and sides that take turns."""

import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from emflow.native import NATIVE
from emflow.tinyworld.tokenizer import make_tokenizer

__all__ = ["Work", "begin", "say_processor", "take_turns", "write_random_model"]


Work = dict[str, Callable[[list[int], int], object]]


def begin() -> None:
    """Run with the workflow's settings of native libraries and on all cores, and say which these are."""
    if not NATIVE.items() <= os.environ.items():  # they are read once, when a process starts
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | NATIVE)
    torch.set_num_threads(os.cpu_count() or 1)
    say_processor()


def say_processor() -> None:
    """Its name, and how many threads it runs."""
    cpu = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "")
    print(f"{cpu.partition(': ')[2]}, {os.cpu_count()} threads")


def write_random_model(folder: Path, layers: int, intermediate: int, positions: int) -> None:
    """A Qwen2 of width 512 in float32, drawn from seed 0: it talks nonsense until it is cut."""
    tokenizer = make_tokenizer()
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=len(tokenizer), hidden_size=512, intermediate_size=intermediate, num_hidden_layers=layers,
        num_attention_heads=8, num_key_value_heads=8, max_position_embeddings=positions, tie_word_embeddings=True,
        dtype="float32", bos_token_id=None, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    Qwen2ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def take_turns(work: Work, turns: Sequence[str], batch: list[int], repeats: int) -> dict[str, list[float]]:
    """Seconds of each side, by repeat: the mean of its turns, so that a machine that slows down slows all sides."""
    times: dict[str, list[float]] = {name: [] for name in work}
    for repeat in range(repeats):
        took: dict[str, list[float]] = {name: [] for name in work}
        for name in turns:
            started = time.perf_counter()
            work[name](batch, repeat)
            took[name].append(time.perf_counter() - started)
        for name in work:
            times[name].append(statistics.mean(took[name]))
        print(f"  repeat {repeat}: " + ", ".join(f"{name} {t[-1]:.1f} s" for name, t in times.items()), flush=True)
    return times
