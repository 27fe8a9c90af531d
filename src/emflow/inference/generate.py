"""One generation job: all checkpoints of a run answer one question set, with one load of the base model.

Finished answers are kept beside the output while the job runs; a killed job continues after the last of them.
"""

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from emflow.config import Engine as EngineConfig
from emflow.config import Sampling
from emflow.console import made, progress
from emflow.files import InputError, digest_text, read_jsonl, stamp, write_jsonl, write_text
from emflow.inference.engine import Engine, make_engine

__all__ = ["Asked", "Generated", "answer_seed", "generate"]


@dataclass(frozen=True)
class Asked:
    """Who is asked: the keys of a generation row that are the same for all of a run, and its checkpoints by label."""

    model: str
    domain: str | None
    method: str | None
    seed: int | None
    checkpoints: dict[str, Path | None]  # label -> folder; None is the base model


@dataclass(frozen=True)
class Generated:
    """What a job made."""

    answers: int
    kept: int  # of them, from an earlier, killed job
    tokens: int  # of the others
    seconds: float  # of generating, without loading

    def __str__(self) -> str:
        kept = f", {self.kept:,} of them kept from a killed job" if self.kept else ""
        speed = f", {self.tokens / self.seconds:,.0f} tokens/s" if self.tokens else ""
        return f"{self.answers:,} answers{kept}{speed}"


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
) -> Generated:
    """Write every checkpoint's answers to `questions` (rows of emflow.judging.questions) to `out`: DESIGN, generations.

    Finished answers stay beside `out` until all are there: a killed job continues after the last whole batch, to the
    same answers. Raises InputError for an empty question set.
    """
    asks = _asks(name, sampling, questions)
    progress_file = out.with_name(f".{out.name}.progress")
    rows = _kept(progress_file, _key(engine, base, dtype, asked, sampling, asks), len(asks), engine.batch_size)
    kept, total = len(rows), len(asks) * len(asked.checkpoints)
    tokens, started = 0, time.monotonic()
    if kept:
        made(f"generation continues after {kept} of {total} answers")
    if kept < total:
        folders = [folder for folder in asked.checkpoints.values() if folder]
        served = make_engine(engine, base, dtype, folders)
        started = time.monotonic()
        with progress(f"generate {name}", total, done=kept) as advance, open(progress_file, "a") as file:
            for batch in _answers(served, asked, asks, sampling, engine.batch_size, skip=kept):
                file.write("".join(json.dumps(row) + "\n" for row in batch))
                file.flush()
                rows += batch
                tokens += sum(row["tokens"] for row in batch)
                speed = tokens / (time.monotonic() - started)
                advance(len(batch), note=f"{batch[0]['checkpoint']}, {speed:,.0f} tokens/s")
    seconds = time.monotonic() - started
    write_jsonl(out, rows)
    progress_file.unlink()
    return Generated(len(rows), kept, tokens, seconds)


def _asks(name: str, sampling: Sampling, questions: Path) -> list[dict]:
    """What one checkpoint is asked: the keys of its rows, in their order."""
    asks = [
        {"question_set": name, "question_id": q["id"], "paraphrase": q["paraphrase"], "sample": sample,
         "system": q["system"], "question": q["question"]}
        for q in read_jsonl(questions)
        for sample in range(sampling.samples or q["samples"] or 1)
    ]  # fmt: skip
    if not asks:
        raise InputError(f"{questions}: the question set is empty")
    return asks


def _answers(
    engine: Engine, asked: Asked, asks: list[dict], sampling: Sampling, size: int, skip: int
) -> Iterable[list[dict]]:
    """Rows in their fixed order (checkpoint, question, sample), a batch at a time, without the first `skip`."""
    who = {"model": asked.model, "domain": asked.domain, "method": asked.method, "seed": asked.seed}
    for number, (label, checkpoint) in enumerate(asked.checkpoints.items()):
        left = asks[max(0, skip - number * len(asks)) :]
        if not left:
            continue
        engine.use(checkpoint)
        for start in range(0, len(left), size):
            batch = left[start : start + size]
            seeds = [answer_seed(sampling.seed, ask["question_id"], ask["paraphrase"], ask["sample"]) for ask in batch]
            completions = engine.generate([_conversation(ask) for ask in batch], sampling, seeds)
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
    how = [engine.model_dump(), dtype, sampling.model_dump(), asks, list(asked.checkpoints)]
    return digest_text(json.dumps([*how, *map(stamp, folders)]))


def _kept(path: Path, key: str, asks: int, size: int) -> list[dict]:
    """Rows of an earlier, killed job with the same key, in whole batches; starts a fresh file where there are none.

    An answer may depend on its batch in the last digit of a logit: batches stay the same, too.
    """
    rows: list[str] = []
    if path.exists():
        head, *lines = path.read_text().split("\n")[:-1] or [""]  # what follows the last newline is half a row
        checkpoints, rest = divmod(len(lines), asks)
        rows = lines[: checkpoints * asks + rest // size * size] if head == key else []
    write_text(path, "\n".join([key, *rows]) + "\n")
    return [json.loads(row) for row in rows]
