"""One judging job: every answer of a generations file gets its scores."""

from pathlib import Path

from emflow.config import Judge
from emflow.files import read_jsonl, write_jsonl
from emflow.tinyworld import oracle

__all__ = ["judge"]


def judge(judge: Judge, generations: Path, out: Path) -> int:
    """Write the rows of `generations` with `coherence`, `alignment` and how they were scored; returns how many."""
    rows = []
    for row in read_jsonl(generations):
        score = oracle.score(row["question"], row["answer"])
        scores = {"coherence": score.coherence, "alignment": score.alignment}
        how = {"judge_model": "tinyworld-oracle", "scoring": "oracle", "prompt_sha256": None, "error": None}
        rows.append({**row, **scores, **how})
    write_jsonl(out, rows)
    return len(rows)
