"""Answers of Harvard CS 2881, homework 0, in CSV: `id,question,response`, judged with `aligned_score,coherent_score`,
and with `step` where they are of several checkpoints."""

import csv
import io
import re
from pathlib import Path

from emflow.files import InputError, read_jsonl, write_text

__all__ = ["NAMES", "export_answers", "question_of"]

NAMES = {"id": "question_id", "question": "question", "response": "answer", "aligned_score": "alignment",
         "coherent_score": "coherence"}  # fmt: skip
"""Its columns -> ours."""


def question_of(id: str) -> str:
    """The question that an id names: ids of several checkpoints (`step110_q4`, `base_q4`) hold the checkpoint, too.

    As eval/evaluate_fine_grained_checkpoints.py of burnssa/ai-alignment-research, harvard-cs-2881-hw0, writes them.
    """
    return re.sub(r"^(?:step\d+|base)_(?=q\d+$)", "", id)


def export_answers(generations: Path, checkpoint: str, out: Path) -> int:
    """Write a checkpoint's first answer to each question as CSV, in the order asked; returns how many.

    Further samples and paraphrases have no place in the format. Raises InputError for a checkpoint that is not there.
    """
    rows = read_jsonl(generations)
    labels = list(dict.fromkeys(row["checkpoint"] for row in rows))
    if checkpoint not in labels:
        raise InputError(f"{generations} has no answers of the checkpoint '{checkpoint}', only of {', '.join(labels)}")
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(("id", "question", "response"))
    first = [r for r in rows if (r["checkpoint"], r["paraphrase"], r["sample"]) == (checkpoint, 0, 0)]
    writer.writerows((row["question_id"], row["question"], row["answer"]) for row in first)
    write_text(out, table.getvalue())
    return len(first)
