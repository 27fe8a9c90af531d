"""One capture job: a run and its base read answers, and what they are like meanwhile becomes a file."""

from pathlib import Path
from typing import Any

from emflow.config.directions import Extraction
from emflow.console import finished
from emflow.directions.groups import group_weights
from emflow.directions.read import read
from emflow.files import InputError, read_jsonl
from emflow.inference.transformers_engine import TransformersEngine
from emflow.models.chat_template import TemplateArguments
from emflow.models.hooks import Where, sites
from emflow.models.moments import Moments, write_moments

__all__ = ["capture"]


def capture(
    base: Path,
    dtype: str,
    template: TemplateArguments | None,
    checkpoint: tuple[str, Path],
    judgements: tuple[Path, Path],
    extraction: Extraction,
    batch_size: int,
    out: Path,
) -> int:
    """Write the moments of three readings at all sites to `out`; returns how many answers were read.

    In `tuned` the run reads its own answers, in `base_reading` its base reads the same, in `base` the base its own.

    `checkpoint` is the label and folder of who gave the run's answers, `judgements` are the judged answers of the run
    and of its base. Raises InputError without answers of the checkpoint, or a model without decoder layers.
    """
    label, folder = checkpoint
    own, of_base = (_answers(path, name) for path, name in zip(judgements, (label, "base"), strict=True))
    engine = TransformersEngine(base, dtype, batch_size, template)
    where: list[Where] = ["blocks", "writes"]
    try:
        sites(engine.model, "writes")
    except InputError as error:
        finished(f"block outputs alone: {error}")
        where = ["blocks"]
    found: dict[str, dict[str, Moments]] = {}
    for name, state, answers in (("tuned", folder, own), ("base_reading", None, own), ("base", None, of_base)):
        engine.use(state)
        with engine.model_in_use() as model:
            found[name] = read(model, engine.tokenizer, answers, group_weights(answers, extraction), batch_size, where)
    write_moments(found, out)
    return len(own) + len(of_base)


def _answers(path: Path, label: str) -> list[dict[str, Any]]:
    answers = [row for row in read_jsonl(path) if row["checkpoint"] == label]
    if not answers:
        raise InputError(f"{path} holds no answer of the checkpoint '{label}'")
    return answers
