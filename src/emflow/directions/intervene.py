"""One intervention job: a checkpoint, or the base, answers a question set under each variant of an intervention.

As in `emflow.inference.generate`, finished answers are kept beside the output while the job runs.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from emflow.config.directions import COLUMNS, Intervention
from emflow.config.question_sets import Sampling
from emflow.console import finished, progress
from emflow.directions.estimate import read_direction
from emflow.directions.variants import Variant, variants
from emflow.files import InputError, digest, digest_text, read_jsonl, stamp, write_jsonl
from emflow.inference.generate import answered, prompts_of, whole_batches
from emflow.inference.transformers_engine import TransformersEngine
from emflow.models.chat_template import TemplateArguments
from emflow.models.generation_config import with_models_own
from emflow.progress_file import ProgressFile

__all__ = ["Answering", "QuestionsAsked", "intervene"]


class Answering(NamedTuple):
    """Who answers: the keys that all rows share, and the model."""

    who: dict[str, Any]  # model, domain, method, seed, checkpoint
    base: Path
    dtype: str
    template: TemplateArguments | None
    checkpoint: Path | None  # None is the base model
    batch_size: int


class QuestionsAsked(NamedTuple):
    """What is asked."""

    name: str
    sampling: Sampling
    questions: Path
    chosen_on: Path | None = None
    """Questions on which something was chosen, none of which may be asked again."""


def intervene(
    answering: Answering,
    intervention: tuple[str, Intervention],
    direction: tuple[str, Path] | None,
    asked: QuestionsAsked,
    choice: Path | None,
    out: Path,
    code: str = "",
) -> int:
    """Write the answers under each variant of a named intervention to `out`; returns how many.

    `direction` says whose it is, and where it lies. `choice` is what `emflow.analysis.interventions.choose` wrote: then
    that variant alone answers, with random ones beside it. `code` is a digest of what answers: what other code has
    answered is not kept. Raises InputError where a question is among those that something was chosen on.
    """
    sampling = with_models_own(asked.sampling, answering.base)
    prompts = prompts_of(asked.name, sampling, asked.questions)
    if asked.chosen_on:
        _require_apart(asked.questions, asked.chosen_on)
    name, settings = intervention
    chosen = json.loads(choice.read_text())["variant"] if choice else None
    every = variants(settings, read_direction(direction[1]) if direction else None, chosen)
    source = {"source": direction[0], "direction": getattr(settings, "direction", None)} if direction else {}
    told = {**dict.fromkeys(COLUMNS), "intervention": name, "kind": settings.kind, **source}
    key = _key(answering, settings, direction, sampling, prompts, [code, *(variant.name for variant in every)])
    size, total = answering.batch_size, len(prompts) * len(every)
    with ProgressFile(out.with_name(f".{out.name}.progress"), key, whole_batches(len(prompts), size)) as done:
        if kept := len(done.rows):
            finished(f"goes on after {kept} of {total} answers")
        with progress(f"{name} on {asked.name}", total, done=kept) as advance:
            for batch in _answers(answering, told, every, prompts, sampling, kept):
                done.add(batch)
                advance(len(batch))
        write_jsonl(out, done.rows)
    done.delete()
    return total


def _answers(
    answering: Answering,
    told: dict[str, Any],
    every: list[Variant],
    prompts: list[dict[str, Any]],
    sampling: Sampling,
    skip: int,
) -> Iterator[list[dict[str, Any]]]:
    """Rows in their fixed order (variant, question, sample), a batch at a time, without the first `skip`."""
    if skip == len(prompts) * len(every):
        return
    engine = TransformersEngine(answering.base, answering.dtype, answering.batch_size, answering.template)
    engine.use(answering.checkpoint)
    for number, variant in enumerate(every):
        left = prompts[max(0, skip - number * len(prompts)) :]
        columns = {**told, "variant": variant.name, **variant.columns}
        with engine.model_in_use() as model, variant.apply(model):
            for start in range(0, len(left), answering.batch_size):
                rows = answered(engine, left[start : start + answering.batch_size], sampling)
                yield [{**answering.who, **columns, **row} for row in rows]


def _require_apart(questions: Path, chosen_on: Path) -> None:
    """Raises InputError where the two sets have a question in common, by its text."""
    used = {(row["system"], row["question"]) for row in read_jsonl(chosen_on)}
    for row in read_jsonl(questions):
        if (row["system"], row["question"]) in used:
            raise InputError(
                f"{questions}: the question '{row['id']}' is in {chosen_on}, too, on which layer and strength are "
                "chosen; set question_sets.NAME.part or ids, so that choose_on and evaluate_on have none in common"
            )


def _key(
    answering: Answering,
    settings: Intervention,
    direction: tuple[str, Path] | None,
    sampling: Sampling,
    prompts: list[dict[str, Any]],
    names: list[str],
) -> str:
    """What determines the answers."""
    folders = [answering.base, *([answering.checkpoint] if answering.checkpoint else [])]
    how = [answering.dtype, answering.template, answering.batch_size, settings.identity(), sampling.identity(), names]
    vectors = digest(direction[1]) if direction else None
    return digest_text(json.dumps([answering.who, *how, prompts, vectors, *map(stamp, folders)]))
