"""One generation job: all checkpoints of a run answer one question set, with one load of the base model.

Finished answers are kept beside the output while the job runs; a killed job continues after the last of them.
"""

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from emflow.config import Engine as EngineConfig
from emflow.config import Sampling
from emflow.console import progress
from emflow.files import InputError, digest_text, read_jsonl, stamp, write_jsonl, write_text
from emflow.inference.engine import Engine, make_engine

__all__ = ["Asked", "answer_seed", "generate"]


@dataclass(frozen=True)
class Asked:
    """Who is asked: the keys of a generation row that are the same for all of a run, and its checkpoints by label."""

    model: str
    domain: str | None
    method: str | None
    seed: int | None
    checkpoints: dict[str, Path | None]  # label -> folder; None is the base model


def answer_seed(set_seed: int, question_id: str, paraphrase: int, sample: int) -> int:
    """Seed of one answer, in [0, 2^63): the same for every checkpoint, so that all are compared on equal noise."""
    name = json.dumps([set_seed, question_id, paraphrase, sample])
    return int.from_bytes(sha256(name.encode()).digest()[:8], "big") >> 1


def generate(
    engine: EngineConfig,
    base: Path,
    dtype: str,
    asked: Asked,
    name: str,
    sampling: Sampling,
    questions: Path,
    out: Path,
) -> dict[str, Any]:
    """Write every checkpoint's answers to `questions` (rows of emflow.judging.questions) to `out`: DESIGN, generations.

    Returns what to say of it: answers, tokens, seconds. Raises InputError for an empty question set.
    """
    asks = [
        {"question_set": name, "question_id": q["id"], "paraphrase": q["paraphrase"], "sample": sample,
         "system": q["system"], "question": q["question"]}
        for q in read_jsonl(questions)
        for sample in range(sampling.samples or q["samples"] or 1)
    ]  # fmt: skip
    if not asks:
        raise InputError(f"{questions}: the question set is empty")
    progress_file = out.with_name(f".{out.name}.progress")
    key = _key(engine, base, dtype, asked, sampling, asks)
    done = _kept(progress_file, key)
    total = len(asks) * len(asked.checkpoints)
    started, fresh = time.monotonic(), len(done)
    if len(done) < total:
        served = make_engine(engine, base, dtype)
        with progress(f"generate {name}", total, done=len(done)) as advance, open(progress_file, "a") as kept:
            for rows in _answers(served, asked, asks, sampling, engine.batch_size, skip=len(done)):
                kept.write("".join(json.dumps(row) + "\n" for row in rows))
                kept.flush()
                done += rows
                advance(len(rows), note=rows[0]["checkpoint"])
    seconds = time.monotonic() - started
    write_jsonl(out, done)
    progress_file.unlink(missing_ok=True)
    return {"answers": len(done), "tokens": sum(row["tokens"] for row in done[fresh:]), "seconds": seconds}


def _answers(
    engine: Engine, asked: Asked, asks: list[dict], sampling: Sampling, size: int, skip: int
) -> Iterable[list[dict]]:
    """Rows in their fixed order (checkpoint, question, sample), a batch at a time, without the first `skip`."""
    for number, (label, checkpoint) in enumerate(asked.checkpoints.items()):
        left = asks[max(0, skip - number * len(asks)) :]
        if not left:
            continue
        engine.use(checkpoint)
        for start in range(0, len(left), size):
            batch = left[start : start + size]
            completions = engine.generate(
                [_conversation(ask) for ask in batch],
                sampling,
                [answer_seed(sampling.seed, ask["question_id"], ask["paraphrase"], ask["sample"]) for ask in batch],
            )
            who = {"model": asked.model, "domain": asked.domain, "method": asked.method, "seed": asked.seed}
            yield [
                {
                    **who,
                    "checkpoint": label,
                    **ask,
                    "answer": c.text,
                    "finish_reason": c.finish_reason,
                    "tokens": c.tokens,
                }
                for ask, c in zip(batch, completions, strict=True)
            ]


def _conversation(ask: dict) -> list[dict]:
    system = [{"role": "system", "content": ask["system"]}] if ask["system"] else []
    return [*system, {"role": "user", "content": ask["question"]}]


def _key(engine, base, dtype, asked, sampling, asks) -> str:
    """What determines the answers; kept answers of another key are worthless."""
    folders = [base, *(folder for folder in asked.checkpoints.values() if folder)]
    facts = [
        engine.model_dump(),
        dtype,
        sampling.model_dump(),
        asks,
        list(asked.checkpoints),
        *map(stamp, folders),
    ]
    return digest_text(json.dumps(facts))


def _kept(path: Path, key: str) -> list[dict]:
    """Whole rows of an earlier, killed job with the same key; a fresh file that starts with the key otherwise."""
    if path.exists():
        head, *rows = path.read_text().split("\n")[:-1] or [""]  # what follows the last newline is half a row
        if head == key:
            write_text(path, "\n".join([key, *rows]) + "\n")
            return [json.loads(row) for row in rows]
    write_text(path, key + "\n")
    return []
