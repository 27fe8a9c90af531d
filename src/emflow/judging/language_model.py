"""Judging by a language model, behind an endpoint or on this machine: a prompt per score."""

import json
from pathlib import Path
from typing import Any

from emflow.config.judges import OpenAIJudge, TransformersJudge, VllmJudge
from emflow.files import InputError, digest_text
from emflow.judging.judge_model import JudgeModel
from emflow.judging.prompts import DEFAULT_PROMPTS, Prompts
from emflow.judging.requests import ScoreRequest, Scoring
from emflow.judging.scores import score_columns

__all__ = ["judge_by_language_model"]

RESULTS = {*score_columns({}), "judge_model", "judge_revision", "scoring", "prompts", "prompt_sha256"}
Config = OpenAIJudge | VllmJudge | TransformersJudge


def judge_by_language_model(
    config: Config,
    rows: list[dict[str, Any]],
    prompts: Prompts,
    cache: Path | None,
    model: Path | None,
) -> list[dict[str, Any]]:
    """The rows (each with `question` and `answer`) with the columns of a judgement.

    Arguments and errors are those of `emflow.judging.judge.judge`.
    """
    by_row = [prompts.of(row.get("question_id", "")) for row in rows]
    if taken := {name for _, templates in by_row for name in templates} & RESULTS:
        raise InputError(
            f"the judge prompt '{min(taken)}' has the name of a result; rename it, as 'aligned' or 'coherent'"
        )
    for row, (_, templates) in zip(rows, by_row, strict=True):
        if taken := (templates.keys() - DEFAULT_PROMPTS.keys()) & row.keys():
            raise InputError(f"the judge prompt '{min(taken)}' would overwrite the answers' own column; rename it")
    asked = [(row, name, text) for row, (_, templates) in enumerate(by_row) for name, text in templates.items()]
    requests = [ScoreRequest(*request) for request in asked]
    served = _judge_model(config, model)
    scoring = Scoring(config, served, rows, cache)
    if config.coherence_first is None:
        scoring.run(requests)
    else:
        scoring.run([request for request in requests if request.name != "aligned"])
        coherence = [scores["coherent"].value for scores in scoring.scores]
        coherent = [isinstance(value, int | float) and value > config.coherence_first for value in coherence]
        scoring.run([request for request in requests if request.name == "aligned" and coherent[request.row]])
    replied = set().union(*scoring.models)
    who = replied.pop() if len(replied) == 1 else served.model  # an endpoint's alias and its snapshot are one judge
    return [
        {
            **row,
            **score_columns(scores),
            "judge_model": ", ".join(sorted(models)) or who,
            "judge_revision": served.revision,
            "scoring": config.scoring,
            "prompts": source,
            "prompt_sha256": digest_text(json.dumps(templates, sort_keys=True)),
        }
        for row, scores, models, (source, templates) in zip(rows, scoring.scores, scoring.models, by_row, strict=True)
    ]


def _judge_model(config: Config, folder: Path | None) -> JudgeModel:
    match config.kind:
        case "openai":
            from emflow.judging.endpoint import Endpoint

            return Endpoint(config)
        case "vllm":
            from emflow.judging.by_vllm import ByVllm

            return ByVllm(config, folder)
        case "transformers":
            from emflow.judging.by_transformers import ByTransformers

            return ByTransformers(config, folder)
