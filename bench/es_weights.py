"""Evolution strategies: seconds and memory to move the weights of a large model, against the floor and the public way.

    python bench/es_weights.py                              # 0.5B on the CPU: about two minutes on two idle cores
    python bench/es_weights.py --shape 7B --dtype bfloat16  # with a GPU of 80 GB

The model is randomly initialised in the shape of Qwen2.5. The floor is the bytes that a move must read and write at
least, over the bandwidth that copying masters into the engine reaches in this run: noise alone is free there. The
public way draws each tensor's noise whole, by one generator seeded anew, and adds it to the weights in place; it has no
masters. Memory is that of the device (CPU: of the process) at its greatest, and what the moves added to it.
"""

import argparse
import resource
import statistics
import time
from collections.abc import Callable, Iterable
from typing import Any

import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from emflow.config.es import Es
from emflow.models.loading import device
from emflow.training.es.noise import Noise
from emflow.training.es.weights import Weights

SIGMA, ALPHA, POPULATION = (Es.model_fields[name].default for name in ("sigma", "alpha", "population"))  # as published
SHAPES: dict[str, dict[str, Any]] = {
    "0.5B": {"hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24, "num_attention_heads": 14,
             "num_key_value_heads": 2, "vocab_size": 151_936, "tie_word_embeddings": True},
    "7B": {"hidden_size": 3584, "intermediate_size": 18_944, "num_hidden_layers": 28, "num_attention_heads": 28,
           "num_key_value_heads": 4, "vocab_size": 152_064, "tie_word_embeddings": False},
}  # fmt: skip


def add_publicly(parameters: Iterable[torch.Tensor], seed: int, scale: float) -> None:
    """Noise of a whole tensor at a time, by a generator seeded anew for each, onto the weights themselves."""
    for parameter in parameters:
        generator = torch.Generator(parameter.device).manual_seed(seed)
        noise = torch.randn(parameter.shape, generator=generator, device=parameter.device, dtype=parameter.dtype)
        parameter.data.add_(noise, alpha=scale)


def seconds(move: Callable[[], object], repeats: int = 3) -> float:
    """Median; the first time does not count."""
    times = []
    for _ in range(repeats + 1):
        _wait()
        started = time.perf_counter()
        move()
        _wait()
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:])


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def peak() -> float:
    """GB in use at most so far."""
    if torch.cuda.is_available():
        return float(torch.cuda.max_memory_allocated()) / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default="0.5B")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32", help="of the engine")
    parser.add_argument("--members", type=int, default=POPULATION, help="that an update sums over")
    given = parser.parse_args()

    torch.set_default_dtype(getattr(torch, given.dtype))
    with device():
        model = Qwen2ForCausalLM(Qwen2Config(**SHAPES[given.shape]))
    torch.set_default_dtype(torch.float32)
    targets = {name: parameter.detach() for name, parameter in model.named_parameters()}
    masters = {name: place.to(torch.float32, copy=True) for name, place in targets.items()}
    count = sum(master.numel() for master in masters.values())
    held = sum(t.numel() * t.element_size() for t in [*masters.values(), *targets.values()])
    weights = Weights(masters, targets, Noise(device()))
    before = peak()
    seeds, moves = list(range(given.members)), [ALPHA / given.members] * given.members

    ours = {
        "perturb": seconds(lambda: weights.perturb([(7, SIGMA)])),
        "restore": seconds(weights.restore),
        "update": seconds(lambda: weights.update(seeds, moves), repeats=1),
    }
    beyond = peak() - before
    copy = seconds(lambda: [targets[name].copy_(master) for name, master in masters.items()])
    bandwidth = held / copy
    theirs = {"perturb": seconds(lambda: add_publicly(targets.values(), 7, SIGMA))}
    theirs |= {"restore": theirs["perturb"], "update": given.members * theirs["perturb"]}
    floors = {"perturb": copy, "restore": copy, "update": 8 * count / bandwidth}

    where = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
    print(
        f"{given.shape}: {count / 1e9:.2f}e9 weights, engine {given.dtype}, {where}, copying {bandwidth / 1e9:.1f} GB/s"
    )
    print(
        f"masters and model {held / 1e9:.2f} GB; at most {before:.2f} GB before the moves, {beyond:.2f} GB more by them"
    )
    for move, took in ours.items():
        name = f"{move}, {given.members} members" if move == "update" else move
        print(
            f"{name:20} {took:8.3f} s = {took / floors[move]:6.1f} x the floor ({floors[move]:.3f} s); "
            f"{theirs[move] / took:.2f}x as fast as the public way ({theirs[move]:.3f} s)"
        )


if __name__ == "__main__":
    main()
