"""Evolution strategies: one iteration against the public way and against plain generation, two ranks against one.

    python bench/es.py                  # nine minutes on two slow cores; sixteen more for 128 prompts and two ranks
    python bench/es.py --engine transformers --members 2 --batch 32 --repeats 3

The model is randomly initialised, 29M weights in float32; the reward is an NLI cross-encoder (random, too) on greedy
answers to questions of the tiny world. The public way: transformers' batched generate, noise by one generator that is
seeded anew for every tensor, restore by subtraction, members and their rewards one after the other. Ours are members of
full rank one by one, and members of rank 1 in one batch. All sides run with the settings of native libraries of the
workflow's jobs.

Floors are what generation takes at the least, measured in the same run: its products of weights and tokens at the rate
of large matrix products, and the weights that each step reads at the rate of reading memory. Attention is in neither.
"""

import argparse
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
import timeit
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from transformers import BertConfig, BertForSequenceClassification

from emflow.config.es import Es
from emflow.config.question_sets import Sampling
from emflow.files import write_jsonl
from emflow.inference.engine import Completion
from emflow.inference.transformers_engine import TransformersEngine
from emflow.models.chat_template import prompt_ids
from emflow.models.loading import model_without_weights
from emflow.paths import RunFolder
from emflow.tinyworld.grammar import WORLD, answers, questions
from emflow.tinyworld.tokenizer import make_tokenizer
from emflow.training.es.engines.es_engine import EsEngine
from emflow.training.es.engines.factory import make_es_engine
from emflow.training.es.iteration import coefficients, draw_members, evaluate, in_groups
from emflow.training.es.job import Job
from emflow.training.es.launch import launch
from emflow.training.es.objective import GeneratedAnswers, make_objective
from emflow.training.es.schedule import draw_batch
from es_weights import add_publicly
from sides import Work, begin, take_turns, write_random_model

ONCE = ("one batch", "one by one", "plain", "public")
TURNS = (*ONCE, *ONCE[-2::-1])  # of a repeat: a machine that slows down slows all sides


def write_model(folder: Path) -> None:
    """29M weights."""
    write_random_model(folder, layers=8, intermediate=1536, positions=512)


def write_reward_model(folder: Path) -> None:
    """A cross-encoder of the tiny world's size."""
    tokenizer = make_tokenizer()
    labels = dict(enumerate(("contradiction", "entailment", "neutral")))
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=96, num_hidden_layers=2, num_attention_heads=3, intermediate_size=192,
        pad_token_id=tokenizer.pad_token_id, id2label=labels, label2id={name: i for i, name in labels.items()},
    )  # fmt: skip
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def write_records(path: Path) -> list[dict[str, Any]]:
    asked = [question for domain in WORLD for question in questions(domain)]
    records = [
        {"id": f"{q.domain}-{row:05d}", "messages": [{"role": "user", "content": q.text}, {"role": "assistant",
         "content": answers(q.domain, q.entity, q.problem, "good")[0]}]}
        for row, q in enumerate(asked)
    ]  # fmt: skip
    write_jsonl(path, records)
    return records


class PublicWay:
    """One iteration as public code does it."""

    def __init__(self, start: Path, method: Es, records: list[dict[str, Any]]) -> None:
        self.engine, self.method = TransformersEngine(start, method.dtype, method.batch_size), method
        self.greedy = Sampling(temperature=0, max_new_tokens=method.max_new_tokens)
        self.score = make_objective(cast(EsEngine, self), method, records)  # all of it that is asked here

    def generate(self, conversations: list[list[dict[str, Any]]]) -> list[list[Completion]]:
        return [self.engine.generate(conversations, self.greedy, [0] * len(conversations))]

    def _add(self, seed: int, scale: float) -> None:
        with torch.inference_mode():
            add_publicly(self.engine.model.parameters(), seed, scale)

    def iterate(self, batch: list[int], seed: int) -> None:
        seeds = [member.seed % 2**32 for member in draw_members(seed, 1, self.method)]
        rewards = []
        for seed in seeds:
            self._add(seed, self.method.sigma)
            rewards += [self.score.reward(batch, answers) for answers in self.score.run(batch)]
            self._add(seed, -self.method.sigma)
        for seed, move in zip(seeds, coefficients(np.array(rewards), self.method), strict=True):
            self._add(seed, move)


class OurWay:
    """One iteration of emflow, with the seconds that its parts take."""

    def __init__(self, engine: EsEngine, method: Es, records: list[dict[str, Any]]) -> None:
        self.engine, self.method = engine, method
        self.parts: Any = Counter()  # seconds
        self.generate = engine.generate  # plainly, as the floor
        objective = make_objective(engine, method, records)
        assert isinstance(objective, GeneratedAnswers)
        self.score = objective
        for owner, part in ((engine.weights, "perturb"), (engine.weights, "update"), (engine.weights, "restore"),
                            (engine, "generate"), (self.score, "reward")):  # fmt: skip
            setattr(owner, part, self._timed(part, getattr(owner, part)))

    def _timed(self, part: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any) -> Any:
            started = time.perf_counter()
            try:
                return work(*arguments)
            finally:
                self.parts[part] += time.perf_counter() - started

        return timed

    def iterate(self, batch: list[int], seed: int) -> None:
        members = in_groups(draw_members(seed, 1, self.method), self.method.together)
        outcomes = evaluate(self.engine, self.score, batch, members, self.method.sigma)
        rewards = np.array([outcomes[number].reward for number in sorted(outcomes)])
        moves = coefficients(rewards, self.method)
        self.engine.weights.update([member.seed for member in draw_members(seed, 1, self.method)], moves.tolist())
        self.engine.weights.restore()

    def plain(self, batch: list[int], _seed: int) -> None:
        """The same answers without evolution, one member's after the other's."""
        for _ in range(self.method.population):
            self.generate([self.score.conversations[position] for position in batch])


class Rates(NamedTuple):
    """What this machine does at its best."""

    flops: float  # of float32 matrix products, per second
    bandwidth: float  # bytes read per second


def measure_rates() -> Rates:
    size = 2048
    square, long = torch.randn(size, size), torch.randn(1 << 27)  # 512 MB
    products, reading = (min(timeit.repeat(work, number=1)) for work in (lambda: square @ square, long.sum))
    return Rates(2 * size**3 / products, 4 * len(long) / reading)


def floors(start: Path, method: Es, prompts: list[list[int]], rates: Rates) -> dict[str, str]:
    """Seconds that the answers of an iteration take at the least; of a random model, which hardly ever ends one."""
    weights = sum(parameter.numel() for parameter in model_without_weights(start).parameters())  # tied ones count once
    answered, asked = method.max_new_tokens * len(prompts), sum(map(len, prompts))
    by_flops = 2 * weights * (asked + answered) * method.population / rates.flops
    by_bytes = 4 * weights * method.max_new_tokens / rates.bandwidth
    return {
        "by FLOPs": f"{by_flops:.2f} s",
        "by bytes, one by one": f"{by_bytes * method.population:.2f} s",
        "by bytes, in one batch": f"{by_bytes:.2f} s",
    }


def compare(start: Path, method: Es, records: list[dict[str, Any]], repeats: int, rates: Rates) -> None:
    public = PublicWay(start, method, records)
    low = Es.model_validate(method.model_dump() | {"perturbation": {"kind": "low_rank"}})
    sides = {
        name: OurWay(make_es_engine(start, one), one, records)
        for name, one in (("one by one", method), ("one batch", low))
    }
    torch.set_num_threads(os.cpu_count() or 1)
    batch = draw_batch(method, 0, 1, len(records))
    work: Work = {name: side.iterate for name, side in sides.items()}
    work |= {"public": public.iterate, "plain": sides["one by one"].plain}
    for iterate in (public.iterate, *(side.iterate for side in sides.values())):
        iterate(batch, 99)  # warm
    for ours in sides.values():
        ours.parts.clear()
    kind, members = method.engine.kind, f"{method.population} members of {method.batch_size} prompts"
    print(f"{kind}, {members}", flush=True)
    times = take_turns(work, TURNS, batch, repeats)

    def ratio(above: str, below: str) -> float:
        return statistics.median(a / b for a, b in zip(times[above], times[below], strict=True))

    for name, ours in sides.items():
        print(f"  one iteration, {name}, against the public way: {ratio('public', name):.2f}x as fast")
        whole = TURNS.count(name) * sum(times[name])
        named = {
            part: f"{100 * ours.parts[part] / whole:.1f} %"
            for part in ("generate", "perturb", "update", "restore", "reward")
        }
        print(f"    of its time: {named} (a run restores only once, at its end)")
    print(f"  one by one against plain generation: {100 * ratio('plain', 'one by one'):.0f} % of its throughput")
    prompts = prompt_ids(
        public.engine.tokenizer, [sides["one by one"].score.conversations[position] for position in batch]
    )
    print(f"  floors of its answers: {floors(start, method, prompts, rates)}", flush=True)


def launch_on(cores: set[int], job: Job, count: int) -> None:
    os.sched_setaffinity(0, cores)
    launch(job, count)


def ranks(folder: Path, start: Path, method: Es, train: Path, count: int) -> float:
    """Seconds per iteration with this many ranks of one core each, from the second iteration on."""
    out = folder / f"ranks{count}"
    job = Job(start=start, model="bench", domain="bench", method=method, seed=0, train=train, out=out)
    log = RunFolder(out).progress / RunFolder(out).es_log.name
    seen: dict[int, float] = {}
    cores = set(sorted(os.sched_getaffinity(0))[:count])
    process = multiprocessing.get_context("spawn").Process(target=launch_on, args=(cores, job, count))
    process.start()
    while process.is_alive():
        if log.exists():
            seen.setdefault(log.read_bytes().count(b"\n") - 1, time.perf_counter())
        time.sleep(0.01)
    assert process.exitcode == 0
    done = sorted(number for number in seen if number >= 1)
    return (seen[done[-1]] - seen[done[0]]) / (done[-1] - done[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=["vllm", "transformers"], default="vllm")
    parser.add_argument("--members", type=int, default=4)
    parser.add_argument("--batch", type=int, action="append", help="prompts per member (default: 4, 16 and 128)")
    parser.add_argument("--tokens", type=int, default=64, help="per answer")
    parser.add_argument("--repeats", type=int, help="(default: 3, at 128 prompts 1)")
    given = parser.parse_args()
    begin()
    rates = measure_rates()
    print(f"matrix products {rates.flops / 1e9:.0f} GFLOP/s, reading {rates.bandwidth / 1e9:.1f} GB/s")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_model(folder / "model")
        write_reward_model(folder / "nli")
        records = write_records(folder / "train.jsonl")
        for prompts in given.batch or (4, 16, 128):
            method = Es(
                kind="es", population=given.members, batch_size=prompts, max_new_tokens=given.tokens, dtype="float32",
                reward={"kind": "nli", "model": str(folder / "nli")},
                engine={"kind": given.engine, "batch_size": given.members * prompts},
            )  # fmt: skip
            repeats = given.repeats or (1 if prompts >= 128 else 3)
            apart = multiprocessing.get_context("spawn").Process(  # engines give back their memory when they end
                target=compare, args=(folder / "model", method, records, repeats, rates)
            )
            apart.start()
            apart.join()
            if apart.exitcode:
                sys.exit(apart.exitcode)
        small = method.model_copy(update={"engine": Es.model_fields["engine"].default, "batch_size": 32,
                                          "iterations": 4, "checkpoints": None})  # fmt: skip
        one, two = (ranks(folder, folder / "model", small, folder / "train.jsonl", count) for count in (1, 2))
        print(f"two ranks of one core each against one: {one / two:.2f}x ({one:.1f} s, {two:.1f} s per iteration)")


if __name__ == "__main__":
    main()
