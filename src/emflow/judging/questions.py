"""Question sets: from where they are published to `id, paraphrase, system, question, samples` rows.

Published forms: the YAML of Betley et al. (arXiv 2502.17424), and CSV or JSONL with `id` and `question`. Judge prompts
that come with a set are read apart from its questions, so that another prompt asks no model again.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from emflow.files import InputError, digest_text, read_jsonl, write_jsonl, write_sealed
from emflow.formats.once import once
from emflow.formats.question_ids import base_id
from emflow.formats.table import is_table, read_table
from emflow.judging.prompts import OURS, Prompts

__all__ = [
    "held_out_questions",
    "judge_prompts",
    "prepare",
    "prepare_prompts",
    "published_questions",
    "shared_prompts",
]

OF_YAML = {"paraphrases", "samples_per_paraphrase", "judge_prompts"}
OF_AN_ENTRY = {"id", "system", *OF_YAML}
MAX_DEPTH = 50  # lists and mappings of YAML within one another


def prepare(source: Path, ids: Iterable[str] | None, out: Path, part: tuple[int, int] | None = None) -> int:
    """Write the questions of a published set, all or those named by `ids`, to `out`; returns how many rows.

    `part` (k, n) takes the k-th of n parts. Raises InputError as `published_questions` does, and for an empty part.
    """
    questions = published_questions(source, ids)
    if part is not None:
        kept = _part({question["id"] for question in questions}, *part)
        questions = [question for question in questions if question["id"] in kept]
        if not questions:
            raise InputError(f"{source}: part {part[0]} of {part[1]} holds no question; make fewer parts")
    write_jsonl(out, questions)
    return len(questions)


def _part(ids: set[str], k: int, n: int) -> set[str]:
    """The k-th of n parts: questions in the order of their digests, dealt out in turn, each with all its variants."""
    questions = set(sorted(set(map(base_id, ids)), key=digest_text)[k - 1 :: n])
    return {id for id in ids if base_id(id) in questions}


def prepare_prompts(chosen: str | None, source: Path | None, out: Path) -> int:
    """Write the judge prompts of a set as JSON (`emflow.judging.prompts.Prompts`); returns how many of its own it has.

    `chosen` is `ours` or a file, whose prompts are for all questions; null takes those of the set's `source`, which
    held-out questions do not have (None). Raises InputError as `judge_prompts` and `shared_prompts` do.
    """
    if chosen == OURS:
        prompts = Prompts()
    elif chosen is not None:
        prompts = Prompts(Path(chosen).name, shared=shared_prompts(Path(chosen)))
    else:
        prompts = Prompts(source.name, by_question=judge_prompts(source)) if source else Prompts()
    write_sealed(out, json.dumps(asdict(prompts), indent=1, ensure_ascii=False) + "\n")
    return len(prompts.shared) + sum(map(len, prompts.by_question.values()))


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
        if not isinstance(given, dict):
            raise InputError(f"{where}: `judge_prompts` must map names to prompt texts")
        for name, prompt in given.items():
            if not (isinstance(prompt, str) and "{answer}" in prompt):
                raise InputError(f"{where}: the judge prompt '{name}' must be a text with {{answer}} in it")
        if prompts.setdefault(entry["id"], given) != given:
            raise InputError(f"{where}: another entry with this id has other judge prompts; give this one its own id")
    return prompts


def shared_prompts(source: Path) -> dict[str, str]:
    """{prompt name: template} of a YAML file for all questions: a mapping of them, or a YAML set whose entries agree.

    Raises InputError for a missing or malformed file, and where entries disagree or no prompt asks for the answer.
    """
    key = "question_sets.NAME.prompts"
    if not (source.is_file() and _is_yaml(source)):
        raise InputError(f"{source}: no such YAML file; check {key}")
    content = _yaml(source)
    if isinstance(content, dict):
        found = [(content, str(source))]
    else:
        found = [(given, f"{source}, question '{id}'") for id, given in judge_prompts(source).items()]
    prompts: dict[str, str] = {}
    for given, where in found:
        for name, prompt in given.items():
            if not (isinstance(prompt, str) and "{answer}" in prompt):
                raise InputError(f"{where}: the prompt '{name}' must be a text with {{answer}} in it")
            if prompts.setdefault(name, prompt) != prompt:
                raise InputError(f"{where}: another question has another prompt '{name}'; name a file of one for {key}")
    if not prompts:
        raise InputError(f"{source}: holds no judge prompts; check {key}")
    return prompts


def held_out_questions(validation: Path, out: Path) -> int:
    """Write the first user turn (and the system prompt) of every held-out conversation to `out`; returns how many."""
    questions = []
    for record in read_jsonl(validation):
        first = {message["role"]: message["content"] for message in reversed(record["messages"])}
        questions.append(_question(record["id"], 0, first.get("system"), first["user"], None))
    write_jsonl(out, _checked(questions, validation))
    return len(questions)


def _question(id: str, paraphrase: int, system: str | None, text: str, samples: int | None) -> dict[str, Any]:
    return {"id": id, "paraphrase": paraphrase, "system": system, "question": text, "samples": samples}


def _is_yaml(source: Path) -> bool:
    return source.suffix.lower() in (".yaml", ".yml")


def _questions_of_yaml(source: Path) -> list[dict[str, Any]]:
    questions, seen = [], Counter[str]()
    for entry, where in _entries(source):
        for key in map(str, entry.keys() - OF_AN_ENTRY):
            if near := get_close_matches(key, OF_AN_ENTRY, 1, 0.8):
                raise InputError(f"{where}: unknown key '{key}'; did you mean '{near[0]}'?")
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
    entries = _yaml(source)
    if not isinstance(entries, list):
        raise InputError(f"{source}: expected a list of questions")
    for number, entry in enumerate(entries, start=1):
        if not (isinstance(entry, dict) and isinstance(entry.get("id"), str) and entry["id"]):
            raise InputError(f"{source}, entry {number}: needs an `id`, which is a text ('1' in quotes)")
        yield entry, f"{source}, entry {number} ('{entry['id']}')"


def _yaml(source: Path) -> Any:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    def load(text: str) -> Any:
        _refuse_depth(yaml.parse(text, loader))
        return yaml.load(text, once(loader))

    return _parsed(source, load)


def _refuse_depth(events: Iterable[Any]) -> None:
    """Raises ValueError for YAML nested deeper than question files are (the parser in C crashes), or in itself."""
    inside: list[str | None] = []
    for event in events:
        match type(event).__name__:
            case "SequenceStartEvent" | "MappingStartEvent":
                inside.append(event.anchor)
                if len(inside) > MAX_DEPTH:
                    raise ValueError(f"nested deeper than {MAX_DEPTH} levels, line {event.start_mark.line + 1}")
            case "SequenceEndEvent" | "MappingEndEvent":
                inside.pop()
            case "AliasEvent" if event.anchor in inside:
                raise ValueError(f"*{event.anchor} is a part of itself, line {event.start_mark.line + 1}")


def _questions_of_table(source: Path) -> list[dict[str, Any]]:
    rows = read_table(source).rows if is_table(source) else read_jsonl(source)
    questions = []
    for number, row in enumerate(rows, start=1):
        if row.get("id") in (None, "") or not row.get("question"):
            raise InputError(f"{source}, entry {number}: needs a non-empty `id` and `question`")
        if not isinstance(row["question"], str) or not isinstance(row.get("system"), str | None):
            raise InputError(f"{source}, entry {number}: `question` and `system` must be texts")
        if only := OF_YAML & row.keys():
            raise InputError(f"{source}, entry {number}: `{min(only)}` is read of YAML sets alone; write it as one")
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
