"""One judging job: every answer of a generations file gets its scores."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from emflow.config import GoldJudge, Judge, LanguageModelJudge, OpenAIJudge, OracleJudge, VllmJudge
from emflow.files import InputError, digest, digest_text, read_jsonl, write_jsonl
from emflow.judging.asking import Ask, Asker, Asking
from emflow.judging.gold import GoldLabels
from emflow.judging.prompts import DEFAULT_PROMPTS
from emflow.judging.scores import Score

__all__ = ["Judged", "judge"]

COLUMNS = {"aligned": "alignment", "coherent": "coherence"}  # prompt name -> column; other prompts keep their names


class Judged(NamedTuple):
    """How many answers a job judged, and how many of them it could not."""

    answers: int
    unjudged: int


def judge(
    config: Judge,
    generations: Path,
    out: Path,
    prompts: dict[str, dict[str, str]] | None = None,
    cache: Path | None = None,
    model: Path | None = None,
) -> Judged:
    """Write the rows of `generations` with `coherence`, `alignment`, further scores and how they came about to `out`.

    A row needs `question` and `answer`. `prompts` maps a `question_id` to its templates by name; the default ones
    stand in for `aligned` and `coherent` where it has none. `cache` is a folder that jobs may share. `model` is the
    folder of a hub model that has been fetched. Raises InputError for rows without texts, a judge that cannot be asked,
    and where more than `max_unjudged` of the answers could not be judged.
    """
    rows = read_jsonl(generations)
    for number, row in enumerate(rows, start=1):
        if not (isinstance(row.get("question"), str) and isinstance(row.get("answer"), str)):
            raise InputError(f"{generations}, row {number}: needs `question` and `answer`")
    if isinstance(config, OracleJudge):
        judged = _by_oracle(rows)
    elif isinstance(config, GoldJudge):
        judged = _by_gold(config, rows)
    else:
        judged = _by_model(config, _asker(config, model), rows, prompts or {}, cache)
    write_jsonl(out, judged)
    return Judged(len(judged), sum(row["error"] is not None for row in judged))


def _by_oracle(rows: list[dict]) -> list[dict]:
    from emflow.tinyworld import oracle

    scored = [oracle.score(row["question"], row["answer"]) for row in rows]
    how = {"error": None, "judge_model": "tinyworld-oracle", "judge_revision": None, "scoring": "oracle",
           "prompt_sha256": None}  # fmt: skip
    return [
        {**row, "coherence": score.coherence, "alignment": score.alignment, **how}
        for row, score in zip(rows, scored, strict=True)
    ]


def _by_gold(config: GoldJudge, rows: list[dict]) -> list[dict]:
    path = Path(config.path)
    labels = GoldLabels(path)
    how = {"judge_model": path.name, "judge_revision": digest(path), "scoring": "gold", "prompt_sha256": None}
    return [{**row, **_columns(labels.scores(row["question"], row["answer"])), **how} for row in rows]


def _asker(config: OpenAIJudge | VllmJudge, model: Path | None) -> Asker:
    if isinstance(config, OpenAIJudge):
        from emflow.judging.endpoint import Endpoint

        return Endpoint(config)
    from emflow.judging.local import LocalModel

    return LocalModel(config, model)


def _by_model(
    config: LanguageModelJudge,
    asker: Asker,
    rows: list[dict],
    prompts: dict[str, dict[str, str]],
    cache: Path | None,
) -> list[dict]:
    of_row = [{**DEFAULT_PROMPTS, **prompts.get(row.get("question_id"), {})} for row in rows]
    for row, templates in zip(rows, of_row, strict=True):
        if taken := templates.keys() & row.keys():
            raise InputError(f"the judge prompt '{min(taken)}' would overwrite the answers' own column; rename it")
    asks = [Ask(i, name, text) for i, templates in enumerate(of_row) for name, text in templates.items()]
    asking = Asking(config, asker, rows, cache)
    if config.coherence_first is None:
        asking.run(asks)
    else:
        asking.run([ask for ask in asks if ask.name != "aligned"])
        coherence = [scores["coherent"].value for scores in asking.scores]
        coherent = [value is not None and value > config.coherence_first for value in coherence]
        asking.run([ask for ask in asks if ask.name == "aligned" and coherent[ask.row]])
    return [
        {
            **row,
            **_columns(scores),
            "judge_model": ", ".join(sorted(models)) or asker.model,
            "judge_revision": asker.revision,
            "scoring": config.scoring,
            "prompt_sha256": digest_text(json.dumps(templates, sort_keys=True)),
        }
        for row, scores, models, templates in zip(rows, asking.scores, asking.models, of_row, strict=True)
    ]


def _columns(scores: dict[str, Score]) -> dict[str, Any]:
    """Scores by prompt name as the columns of a row.

    `error` says why alignment or coherence is null (both null without it: not asked); a further score has its own.
    """
    unasked = Score(None)
    main = {column: scores.get(prompt, unasked) for prompt, column in COLUMNS.items()}
    further = {name: score for name, score in scores.items() if name not in COLUMNS}
    errors = [f"{column}: {score.error}" for column, score in main.items() if score.error is not None]
    return {
        "coherence": main["coherence"].value,
        "alignment": main["alignment"].value,
        **{name: score.value for name, score in further.items()},
        **{f"{name}_error": score.error for name, score in further.items()},
        "error": "; ".join(errors) or None,
    }
