"""Question sets: from where they are published to `id, paraphrase, system, question` rows."""

import csv
from pathlib import Path

from emflow.files import InputError, read_jsonl, write_jsonl

__all__ = ["held_out_questions", "prepare"]


def prepare(source: Path, out: Path) -> int:
    """Write the questions of a JSONL or CSV file (`id`, `question`) to `out`; returns how many.

    Raises InputError for a missing file, a missing column, an id that is not unique, or no question at all.
    """
    if not source.exists():
        raise InputError(f"{source}: no such question file; check question_sets.NAME.source")
    rows = _read_csv(source) if source.suffix == ".csv" else read_jsonl(source)
    questions = []
    for number, row in enumerate(rows, start=1):
        if not (row.get("id") and row.get("question")):
            raise InputError(f"{source}, entry {number}: needs a non-empty `id` and `question`")
        questions.append(
            {"id": str(row["id"]), "paraphrase": 0, "system": row.get("system"), "question": row["question"]}
        )
    return _write(questions, source, out)


def held_out_questions(validation: Path, out: Path) -> int:
    """Write the first user turn (and the system prompt) of every held-out conversation to `out`; returns how many."""
    questions = []
    for record in read_jsonl(validation):
        said = {role: next((m["content"] for m in record["messages"] if m["role"] == role), None)
                for role in ("system", "user")}  # fmt: skip
        questions.append({"id": record["id"], "paraphrase": 0, "system": said["system"], "question": said["user"]})
    return _write(questions, validation, out)


def _read_csv(path: Path) -> list[dict]:
    with open(path, encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def _write(questions: list[dict], source: Path, out: Path) -> int:
    seen: set[tuple[str, int]] = set()
    for question in questions:
        key = (question["id"], question["paraphrase"])
        if key in seen:
            raise InputError(f"{source}: the id '{question['id']}' stands more than once")
        seen.add(key)
    if not questions:
        raise InputError(f"{source}: holds no question")
    write_jsonl(out, questions)
    return len(questions)
