"""`answers.html`: every judged answer on one page that needs no network, to filter and to read side by side.

The page itself is `answers_page.html`. Its data stand in it as gzipped JSON in base64, out of which no text can break:
an index of who answered what with which scores, and the texts in chunks, each unpacked when it is first shown.
"""

import base64
import gzip
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from emflow.analysis.rates import classify
from emflow.config.definitions import Definition
from emflow.config.load import Config
from emflow.files import read_jsonl, write_text
from emflow.paths import Results
from emflow.reporting.tabulate import judged_files

__all__ = ["write_answers_page", "write_answers_page_of"]

PAGE = Path(__file__).with_name("answers_page.html")
HERE = "<!-- data -->"
VERDICTS = ("misaligned", "aligned", "incoherent", "refusal", "code", "unjudged")
CHUNK = 2**18  # characters of texts that are unpacked together
ANSWERER = ("model", "domain", "method", "seed", "checkpoint")


def write_answers_page_of(config: Config, results: Results) -> int:
    """Write the page of a study, from its judgements; returns the number of answers."""
    files: dict[str, list[Path]] = {judge: [] for judge in config.expansion.judges}
    for names, file in judged_files(config, results):
        files[names["judge"]].append(file)
    judged = {judge: (row for file in of_judge for row in read_jsonl(file)) for judge, of_judge in files.items()}
    definition = config.report.definition
    return write_answers_page(judged, config.study, definition, config.definitions[definition], results.report.answers)


def write_answers_page(
    judged: Mapping[str, Iterable[Mapping[Any, Any]]], title: str, name: str, definition: Definition, out: Path
) -> int:
    """Write the page of judge -> rows as in docs/output.md, of which only `alignment` must be there; returns how many
    answers there are.

    Rows of two judges are scores of one answer where all that names it is the same: answerer, question and text; of
    alike ones the first and the first, and so on. `name` is the definition's.
    """
    answers = _Answers(list(judged))
    for judge, rows in judged.items():
        answers.add(judge, rows)
    order = sorted(range(len(answers.question)), key=lambda answer: answers.question[answer])  # stable
    number = {text: None for text in (answers.text[answer] for answer in order)}
    numbers = {text: place for place, text in enumerate(number)}
    chunks = list(_chunks(numbers))
    index = {
        "title": title,
        "definition": f"{name} definition: {definition.rule}",
        "verdicts": VERDICTS,
        "judges": list(judged),
        "questions": [dict(zip(("set", "id", "text", "system"), key, strict=True)) for key in answers.questions],
        "answerers": [dict(zip(ANSWERER, key, strict=True)) for key in answers.answerers],
        "answers": {
            "question": [answers.question[answer] for answer in order],
            "answerer": [answers.answerer[answer] for answer in order],
            "text": [numbers[answers.text[answer]] for answer in order],
        },
        "scores": {judge: answers.scores(judge, order, definition) for judge in judged},
        "chunk_ends": list(accumulate(map(len, chunks))),
    }
    parts = {"index": index, **{f"texts-{number}": chunk for number, chunk in enumerate(chunks)}}
    scripts = "\n".join(f'<script type="text/plain" id="{id}">{_packed(part)}</script>' for id, part in parts.items())
    before, _, after = PAGE.read_text(encoding="utf-8").partition(HERE)
    write_text(out, before + scripts + after)
    return len(order)


@dataclass
class _Answers:
    """Columns of numbers, and what the numbers mean."""

    judges: list[str]
    questions: dict[tuple[Any, ...], int] = field(default_factory=dict)
    answerers: dict[tuple[Any, ...], int] = field(default_factory=dict)
    question: list[int] = field(default_factory=list)
    answerer: list[int] = field(default_factory=list)
    text: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._places: dict[tuple[int, int, str, int], int] = {}
        self._scores: dict[str, dict[int, tuple[Any, Any, str | None]]] = {judge: {} for judge in self.judges}

    def add(self, judge: str, rows: Iterable[Mapping[Any, Any]]) -> None:
        """Take the answers of these rows that are not there yet, and the judge's scores of all."""
        seen: dict[tuple[int, int, str], int] = {}
        for row in rows:
            asked = (row.get("question_set"), row.get("question_id"), row.get("question"), row.get("system"))
            question = self.questions.setdefault(_plain(asked), len(self.questions))
            who = _plain(row.get(key) for key in ANSWERER)
            answerer = self.answerers.setdefault(who, len(self.answerers))
            answer = (question, answerer, str(row.get("answer") or ""))
            seen[answer] = seen.get(answer, -1) + 1
            place = self._places.setdefault((*answer, seen[answer]), len(self.text))
            if place == len(self.text):
                self.question.append(question)
                self.answerer.append(answerer)
                self.text.append(answer[2])
            self._scores[judge][place] = (*_plain((row["alignment"], row.get("coherence"))), row.get("error"))

    def scores(self, judge: str, order: list[int], definition: Definition) -> dict[str, Any]:
        """Columns by place in `order`: both scores, null where there is none; what the answer is (number of a verdict);
        whether it is below the threshold, coherent or not, unjudged or not. And errors by place."""
        scores = [self._scores[judge].get(answer, (None, None, None)) for answer in order]
        found = pd.DataFrame(scores, columns=["alignment", "coherence", "error"], dtype=object).assign(question_id="")
        calls = classify(found, definition)
        whatever = definition.model_copy(update={"coherence_above": None})
        below = classify(found.assign(error=None), whatever)["misaligned"]
        ruled = {
            "unjudged": ~calls["judged"] | found["alignment"].isna(),
            "misaligned": calls["misaligned"],
            "refusal": calls["refusal"],
            "code": calls["code"],
            "incoherent": ~calls["coherent"],
        }
        verdict = np.select(list(ruled.values()), list(map(VERDICTS.index, ruled)), VERDICTS.index("aligned"))
        return {
            "alignment": [alignment for alignment, _, _ in scores],
            "coherence": [coherence for _, coherence, _ in scores],
            "verdict": verdict.tolist(),
            "below": below.astype(int).tolist(),
            "error": {place: error for place, (_, _, error) in enumerate(scores) if error},
        }


def _plain(values: Iterable[Any]) -> tuple[Any, ...]:
    """Values as JSON can hold them and sets can tell them apart."""
    return tuple(
        None if _is_missing(value) else value if isinstance(value, int | float) else str(value) for value in values
    )


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _chunks(texts: Iterable[str]) -> Iterator[list[str]]:
    chunk: list[str] = []
    size = 0
    for text in texts:
        chunk.append(text)
        size += len(text)
        if size >= CHUNK:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _packed(value: Any) -> str:
    """Gzipped JSON in base64, the same for the same value."""
    data = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    return base64.b64encode(gzip.compress(data, 6, mtime=0)).decode()
