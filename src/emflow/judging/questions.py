"""Question sets: from where they are published to `id, paraphrase, system, question, samples` rows.

Published forms: the YAML of Betley et al. (arXiv 2502.17424), and CSV or JSONL with `id` and `question`. Judge prompts
that come with a set are read apart from its questions, so that another prompt asks no model again.
"""

import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from emflow.files import InputError, read_jsonl, write_jsonl, write_text

__all__ = ["held_out_questions", "judge_prompts", "prepare", "prepare_prompts", "published_questions"]


def prepare(source: Path, ids: Iterable[str] | None, out: Path) -> int:
    """Write the questions of a published set, all or those named by `ids`, to `out`; returns how many rows.

    Raises InputError as `published_questions` does.
    """
    questions = published_questions(source, ids)
    write_jsonl(out, questions)
    return len(questions)


def prepare_prompts(source: Path | None, out: Path) -> int:
    """Write the judge prompts of a published set as JSON, {question id: {prompt name: template}}; returns how many.

    Held-out questions have no source (None) and no prompts. Raises InputError as `judge_prompts` does.
    """
    prompts = judge_prompts(source) if source else {}
    write_text(out, json.dumps(prompts, indent=1, ensure_ascii=False) + "\n")
    return sum(map(len, prompts.values()))


def published_questions(source: Path, ids: Iterable[str] | None = None) -> list[dict[str, Any]]:
    """The rows of a set: `samples` is the file's own `samples_per_paraphrase`, null where it names none.

    A YAML entry has several paraphrases, and entries with the same id count on in their paraphrases. Raises InputError
    for a missing or malformed file, an entry without id or question, a question that stands twice, an unknown id.
    """
    if not source.exists():
        raise InputError(f"{source}: no such question file; check question_sets.NAME.source")
    questions = _questions_of_yaml(source) if _is_yaml(source) else _questions_of_table(source)
    if ids is not None:
        questions = _selected(questions, list(ids), source)
    return _checked(questions, source)


def judge_prompts(source: Path) -> dict[str, dict[str, str]]:
    """{question id: {prompt name: template}} of a YAML set; empty for other forms and entries without `judge_prompts`.

    Raises InputError where a prompt is not text, or entries with the same id disagree.
    """
    prompts: dict[str, dict[str, str]] = {}
    for entry, where in _entries(source) if _is_yaml(source) else ():
        given = entry.get("judge_prompts")
        if given is None:
            continue
        if not isinstance(given, dict) or not all(isinstance(prompt, str) for prompt in given.values()):
            raise InputError(f"{where}: `judge_prompts` must map names to prompt texts")
        if prompts.setdefault(entry["id"], given) != given:
            raise InputError(f"{where}: another entry with this id has other judge prompts; give this one its own id")
    return prompts


def held_out_questions(validation: Path, out: Path) -> int:
    """Write the first user turn (and the system prompt) of every held-out conversation to `out`; returns how many."""
    questions = []
    for record in read_jsonl(validation):
        said = {role: next((m["content"] for m in record["messages"] if m["role"] == role), None)
                for role in ("system", "user")}  # fmt: skip
        questions.append(_question(record["id"], 0, said["system"], said["user"], None))
    write_jsonl(out, _checked(questions, validation))
    return len(questions)


def _question(id: str, paraphrase: int, system: str | None, text: str, samples: int | None) -> dict[str, Any]:
    return {"id": id, "paraphrase": paraphrase, "system": system, "question": text, "samples": samples}


def _is_yaml(source: Path) -> bool:
    return source.suffix in (".yaml", ".yml")


def _questions_of_yaml(source: Path) -> list[dict[str, Any]]:
    questions, seen = [], Counter()
    for entry, where in _entries(source):
        texts, samples = entry.get("paraphrases"), entry.get("samples_per_paraphrase")
        if not (isinstance(texts, list) and texts and all(isinstance(text, str) and text for text in texts)):
            raise InputError(f"{where}: `paraphrases` must be a list of questions")
        if samples is not None and not (type(samples) is int and samples > 0):
            raise InputError(f"{where}: `samples_per_paraphrase` must be a positive integer, not {samples!r}")
        if not isinstance(entry.get("system"), str | None):
            raise InputError(f"{where}: `system` must be text")
        for text in texts:
            questions.append(_question(entry["id"], seen[entry["id"]], entry.get("system"), text, samples))
            seen[entry["id"]] += 1
    return questions


def _entries(source: Path) -> Iterable[tuple[dict[str, Any], str]]:
    """The entries of a YAML set, each with the words that name it in an error."""
    import yaml

    entries = _parsed(source, lambda text: yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    if not isinstance(entries, list):
        raise InputError(f"{source}: expected a list of questions")
    for number, entry in enumerate(entries, start=1):
        if not (isinstance(entry, dict) and isinstance(entry.get("id"), str) and entry["id"]):
            raise InputError(f"{source}, entry {number}: needs an `id`")
        yield entry, f"{source}, entry {number} ('{entry['id']}')"


def _questions_of_table(source: Path) -> list[dict[str, Any]]:
    is_csv = source.suffix == ".csv"
    rows = _parsed(source, lambda text: list(csv.DictReader(io.StringIO(text)))) if is_csv else read_jsonl(source)
    questions = []
    for number, row in enumerate(rows, start=1):
        if not (row.get("id") and row.get("question")):
            raise InputError(f"{source}, entry {number}: needs a non-empty `id` and `question`")
        questions.append(_question(str(row["id"]), 0, row.get("system") or None, row["question"], None))
    return questions


def _parsed(source: Path, parse: Callable[[str], Any]) -> Any:
    try:
        return parse(source.read_text(encoding="utf-8-sig"))
    except Exception as error:  # each parser has errors of its own
        raise InputError(f"{source}: not readable as {source.suffix.lstrip('.')}: {error}") from None


def _selected(questions: list[dict[str, Any]], ids: list[str], source: Path) -> list[dict[str, Any]]:
    """In the order of `ids`."""
    by_id: dict[str, list[dict[str, Any]]] = {}
    for question in questions:
        by_id.setdefault(question["id"], []).append(question)
    if unknown := [id for id in ids if id not in by_id]:
        raise InputError(f"{source}: has no question '{unknown[0]}'; check question_sets.NAME.ids")
    return [question for id in ids for question in by_id[id]]


def _checked(questions: list[dict[str, Any]], source: Path) -> list[dict[str, Any]]:
    keys, texts = set(), set()
    for question in questions:
        key = (question["id"], question["paraphrase"])
        text = (question["id"], question["system"], question["question"])
        if key in keys or text in texts:
            raise InputError(f"{source}: the question '{question['id']}' stands more than once")
        keys.add(key)
        texts.add(text)
    if not questions:
        raise InputError(f"{source}: holds no question")
    return questions
