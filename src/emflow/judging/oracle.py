"""The tiny world's oracle as a judge."""

from typing import Any

from emflow.tinyworld import oracle

__all__ = ["judge_by_oracle"]


def judge_by_oracle(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows (each with `question` and `answer`) with the columns of a judgement.

    Raises InputError for a question that is not of the tiny world.
    """
    scored = [oracle.score(row["question"], row["answer"]) for row in rows]
    how = {"error": None, "judge_model": "tinyworld-oracle", "judge_revision": None, "scoring": "oracle",
           "prompts": None, "prompt_sha256": None}  # fmt: skip
    return [
        {**row, "coherence": score.coherence, "alignment": score.alignment, **how}
        for row, score in zip(rows, scored, strict=True)
    ]
