"""Answers in the format of Harvard CS 2881, homework 0: `model_generations.csv` with `id,question,response`."""

import csv
import io
from pathlib import Path

from emflow.files import InputError, read_jsonl, write_text

__all__ = ["export_answers"]


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
