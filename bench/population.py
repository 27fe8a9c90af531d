"""A population of low rank in one batch: an ES iteration against full-rank members one by one, and plain generation.

    python bench/population.py                        # both engines and shapes: about twelve minutes on two idle cores
    python bench/population.py --engine vllm --shape 64x4

Model, reward and questions are those of bench/es.py: 29M weights in float32, an NLI cross-encoder on greedy answers.
Plain generation is as many answers by the same engine, without members, all at once. All sides take turns.
"""

import argparse
import statistics
import tempfile
from pathlib import Path

from emflow.config.es import Es
from emflow.training.es.engines.factory import make_es_engine
from emflow.training.es.schedule import draw_batch
from es import OurWay, write_model, write_records, write_reward_model
from sides import Work, begin, take_turns

TURNS = ("low rank", "plain", "full rank", "plain", "low rank")  # a machine that slows down slows all three


def compare(folder: Path, engine: str, members: int, prompts: int, tokens: int, repeats: int) -> None:
    records = write_records(folder / "train.jsonl")
    settings = {"kind": engine, "batch_size": members * prompts}
    full = Es(
        kind="es", population=members, batch_size=prompts, max_new_tokens=tokens, dtype="float32", engine=settings,
        reward={"kind": "nli", "model": str(folder / "nli")},
    )  # fmt: skip
    low = Es.model_validate(full.model_dump() | {"perturbation": {"kind": "low_rank"}})
    sides = {
        name: OurWay(make_es_engine(folder / "model", method), method, records)
        for name, method in (("full rank", full), ("low rank", low))
    }
    batch = draw_batch(full, 0, 1, len(records))
    rows = [sides["full rank"].score.conversations[position] for position in batch] * members
    work: Work = {name: side.iterate for name, side in sides.items()}
    work["plain"] = lambda _batch, _seed: sides["full rank"].generate(rows)
    for name in ("low rank", "plain"):  # warm
        work[name](batch, 99)
    for side in sides.values():
        side.parts.clear()
    times = take_turns(work, TURNS, batch, repeats)

    def ratio(above: str, below: str) -> float:
        return statistics.median(a / b for a, b in zip(times[above], times[below], strict=True))

    seconds = {name: f"{statistics.median(took):.1f} s" for name, took in times.items()}
    print(f"{engine}, {members} members of {prompts} prompts: {seconds}")
    print(f"  low rank in one batch against full rank one by one: {ratio('full rank', 'low rank'):.2f}x as fast")
    print(f"  against plain generation: {100 * ratio('plain', 'low rank'):.0f} % of its throughput")
    whole = TURNS.count("low rank") * sum(times["low rank"])
    parts = {part: f"{100 * spent / whole:.1f} %" for part, spent in sides["low rank"].parts.most_common()}
    print(f"  of an iteration's time: {parts}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=["vllm", "transformers"], action="append")
    parser.add_argument("--shape", metavar="MEMBERSxPROMPTS", action="append")
    parser.add_argument("--tokens", type=int, default=64, help="per answer")
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    begin()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_model(folder / "model")
        write_reward_model(folder / "nli")
        for engine in given.engine or ["transformers", "vllm"]:
            for shape in given.shape or ["64x4", "32x16"]:
                members, prompts = map(int, shape.split("x"))
                compare(folder, engine, members, prompts, given.tokens, given.repeats)


if __name__ == "__main__":
    main()
