"""One generation job: all checkpoints of a run answer one question set, with one load of the base model.

vLLM answers with all adapters of a run in one batch: a set of few questions fills it, too.

Finished answers are kept beside the output while the job runs; a killed job continues after the last of them.
"""

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

from emflow.config.engine import EngineSettings
from emflow.config.question_sets import Sampling
from emflow.console import finished, progress
from emflow.files import InputError, digest_text, read_jsonl, stamp, write_jsonl
from emflow.inference.engine import AdaptersEngine, Engine
from emflow.inference.factory import make_engine
from emflow.inference.prove import ProvenEngine
from emflow.models.adapters import is_adapter
from emflow.models.chat_template import TemplateArguments
from emflow.models.generation_config import with_models_own
from emflow.progress_file import ProgressFile

__all__ = ["Generated", "Respondent", "answer_seed", "answered", "generate", "prompts_of", "whole_batches"]


@dataclass(frozen=True)
class Respondent:
    """Whoever answers: the keys that all of a run's generation rows share, and its checkpoints by label."""

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
    engine: EngineSettings,
    base: Path,
    dtype: str,
    respondent: Respondent,
    name: str,
    sampling: Sampling,
    questions: Path,
    out: Path,
    template: TemplateArguments | None = None,
) -> Generated:
    """Write every checkpoint's answers to `questions` (rows of emflow.judging.questions) to `out`; `template` are the
    arguments of the model's chat template.

    Finished answers stay beside `out` until all are there: a killed job continues after the last whole batch, to the
    same answers. Raises InputError for an empty question set, where the disk is full, and before a checkpoint's first
    answer where the engine does not see what its trainer saw.
    """
    sampling = with_models_own(sampling, base)
    prompts = prompts_of(name, sampling, questions)
    key, size = _key(engine, base, dtype, respondent, sampling, prompts, template), engine.batch_size
    turns = _turns(engine, respondent)
    whole = whole_batches(len(turns[0]) * len(prompts), size)
    with ProgressFile(out.with_name(f".{out.name}.progress"), key, whole) as done:
        kept, total = len(done.rows), len(prompts) * len(respondent.checkpoints)
        tokens, started = 0, time.monotonic()
        if kept:
            finished(f"generation continues after {kept} of {total} answers")
        if kept < total:
            folders = [folder for folder in respondent.checkpoints.values() if folder]
            served = make_engine(engine, base, dtype, folders, template)
            started = time.monotonic()
            with progress(f"generate {name}", total, done=kept) as advance:
                proven = ProvenEngine(served, engine.kind, dtype)
                for batch in _answers(proven, respondent, turns, prompts, sampling, size, skip=kept):
                    done.add(batch)
                    tokens += sum(row["tokens"] for row in batch)
                    speed = tokens / (time.monotonic() - started)
                    advance(len(batch), note=f"{batch[0]['checkpoint']}, {speed:,.0f} tokens/s")
        seconds = time.monotonic() - started
        write_jsonl(out, done.rows)
    done.delete()
    return Generated(total, kept, tokens, seconds)


def whole_batches(each: int, size: int) -> Callable[[int], int]:
    """How many of the answers of a killed job are kept, where each turn gives `each`, in batches of `size`.

    An answer may depend on its batch in the last digit of a logit: batches stay the same, too.
    """
    return lambda count: count // each * each + count % each // size * size


def prompts_of(name: str, sampling: Sampling, questions: Path) -> list[dict[str, Any]]:
    """What one checkpoint is prompted with: the keys of its rows, in their order. Raises InputError for no question."""
    prompts = [
        {"question_set": name, "question_id": q["id"], "paraphrase": q["paraphrase"], "sample": sample,
         "system": q["system"], "question": q["question"]}
        for q in read_jsonl(questions)
        for sample in range(sampling.samples or q["samples"] or 1)
    ]  # fmt: skip
    if not prompts:
        raise InputError(f"{questions}: the question set is empty")
    return prompts


def _turns(engine: EngineSettings, respondent: Respondent) -> list[list[str]]:
    """Labels of the checkpoints that answer in one batch: all of a run's adapters in vLLM, else one after another."""
    labels = list(respondent.checkpoints)
    if engine.kind == "vllm" and all(folder and is_adapter(folder) for folder in respondent.checkpoints.values()):
        return [labels]
    return [[label] for label in labels]


def _answers(
    proven: ProvenEngine,
    respondent: Respondent,
    turns: list[list[str]],
    prompts: list[dict[str, Any]],
    sampling: Sampling,
    size: int,
    skip: int,
) -> Iterable[list[dict[str, Any]]]:
    """Rows in their fixed order (checkpoint, question, sample), a batch at a time, without the first `skip`."""
    who = {"model": respondent.model, "domain": respondent.domain, "method": respondent.method, "seed": respondent.seed}
    for number, turn in enumerate(turns):
        rows = [({**who, "checkpoint": label}, prompt) for label in turn for prompt in prompts]
        left = rows[max(0, skip - number * len(rows)) :]
        if not left:
            continue
        for label in turn[(len(rows) - len(left)) // len(prompts) :]:
            proven.use(respondent.checkpoints[label])
        for start in range(0, len(left), size):
            names, asked = zip(*left[start : start + size], strict=True)
            if len(turn) > 1:
                adapters = [cast(Path, respondent.checkpoints[name["checkpoint"]]) for name in names]
                cast(AdaptersEngine, proven.engine).use_each(adapters)
            answers = answered(proven.engine, list(asked), sampling)
            yield [{**name, **row} for name, row in zip(names, answers, strict=True)]


def answered(engine: Engine, prompts: list[dict[str, Any]], sampling: Sampling) -> list[dict[str, Any]]:
    """The prompts of `prompts_of`, each with the answer of whatever the engine has in use."""
    seeds = [
        answer_seed(sampling.seed, prompt["question_id"], prompt["paraphrase"], prompt["sample"]) for prompt in prompts
    ]
    completions = engine.generate([_conversation(prompt) for prompt in prompts], sampling, seeds)
    return [
        {**prompt, "answer": c.text, "finish_reason": c.finish_reason, "tokens": c.tokens}
        for prompt, c in zip(prompts, completions, strict=True)
    ]


def _conversation(prompt: dict[str, Any]) -> list[dict[str, Any]]:
    system = [{"role": "system", "content": prompt["system"]}] if prompt["system"] else []
    return [*system, {"role": "user", "content": prompt["question"]}]


def _key(
    engine: EngineSettings,
    base: Path,
    dtype: str,
    respondent: Respondent,
    sampling: Sampling,
    prompts: list[dict[str, Any]],
    template: TemplateArguments | None,
) -> str:
    """What determines the answers; kept answers of another key are worthless."""
    folders = [base, *(folder for folder in respondent.checkpoints.values() if folder)]
    how = [engine.identity(), dtype, sampling.identity(), prompts, list(respondent.checkpoints), template]
    return digest_text(json.dumps([*how, *map(stamp, folders)]))
