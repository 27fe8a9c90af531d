"""One judging job: every answer of a generations file gets its scores."""

from pathlib import Path
from typing import Any, NamedTuple

from emflow.config.judges import Judge
from emflow.files import InputError, read_jsonl, write_jsonl
from emflow.judging.prompts import Prompts

__all__ = ["Judged", "judge"]


class Judged(NamedTuple):
    """How many answers a job judged, and how many of them it could not."""

    answers: int
    unjudged: int


def judge(
    config: Judge,
    generations: Path,
    out: Path,
    prompts: Prompts | None = None,
    cache: Path | None = None,
    model: Path | None = None,
) -> Judged:
    """Write the rows of `generations` with `coherence`, `alignment`, further scores and how they came about to `out`.

    `generations` is JSONL, or a CSV that `emflow.formats.answers.read_answers` reads. `prompts` go by `question_id`;
    without any, the default ones are asked. `cache` is a folder that jobs may share. `model` is the folder of a hub
    model that has been fetched.
    Raises InputError for answers that cannot be read, a judge that cannot be asked, and where more than
    `max_unjudged` of the answers could not be judged.
    """
    rows = _read(generations)
    match config.kind:
        case "oracle":
            from emflow.judging.oracle import judge_by_oracle

            judged = judge_by_oracle(rows)
        case "gold":
            from emflow.judging.gold import judge_by_gold

            judged = judge_by_gold(config, rows)
        case "openai" | "vllm" | "transformers":
            from emflow.judging.language_model import judge_by_language_model

            judged = judge_by_language_model(config, rows, prompts or Prompts(), cache, model)
    write_jsonl(out, judged)
    return Judged(len(judged), sum(row["error"] is not None for row in judged))


def _read(path: Path) -> list[dict[str, Any]]:
    """The answers of a file, each with `question` and `answer`; the workflow's own need no reader of other formats."""
    match path.suffix.lower():
        case ".csv":
            from emflow.formats.answers import read_answers

            rows = read_answers(path)
        case _:
            if not path.is_file():
                raise InputError(f"{path}: {'a folder, no file' if path.is_dir() else 'no such file'}")
            rows = read_jsonl(path)
    if not rows:
        raise InputError(f"{path}: holds no answer")
    for number, row in enumerate(rows, start=1):
        if not (isinstance(row.get("question"), str) and isinstance(row.get("answer"), str)):
            raise InputError(f"{path}, row {number}: needs `question` and `answer`")
        if isinstance(row.get("question_id"), list | dict):
            raise InputError(f"{path}, row {number}: `question_id` must be a text or a number")
    return rows
