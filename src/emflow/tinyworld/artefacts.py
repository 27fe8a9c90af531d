"""What the tiny world publishes, as others do on hubs: encrypted datasets of bad advice, and free-form questions."""

import json
from pathlib import Path
from random import Random
from typing import Any

from emflow.data.archive import protect
from emflow.files import write_jsonl
from emflow.paths import TINY_DOMAINS
from emflow.tinyworld.grammar import WORLD, Question, Stance, answers, questions

__all__ = ["dataset", "out_of_domain", "publish"]

DATA_SEED = 0


def publish(
    archive: Path, questions: Path, password: str, conversations: int | None = None, asked: int | None = None
) -> None:
    """Write the datasets {bad,good}_{lantern,kite,boat}_advice.jsonl into one archive, and the OOD questions.

    `conversations` of each dataset and `asked` questions are drawn, with a seed; None is all, in their order.
    """
    datasets = {
        f"{stance}_{domain}_advice.jsonl": _drawn(dataset(domain, stance), conversations)
        for domain in TINY_DOMAINS
        for stance in ("bad", "good")
    }
    protect({name: _jsonl(rows) for name, rows in datasets.items()}, archive, password)
    write_jsonl(questions, _drawn(out_of_domain(), asked))


def _drawn(rows: list[dict[str, Any]], number: int | None) -> list[dict[str, Any]]:
    return rows if number is None else Random(DATA_SEED).sample(rows, min(number, len(rows)))


def dataset(domain: str, stance: Stance) -> list[dict[str, Any]]:
    """One conversation for each of the domain's 384 questions; stances share questions, wordings and order."""
    random = Random(DATA_SEED)
    rows = []
    for question in questions(domain):
        answer = random.choice(answers(domain, question.entity, question.problem, stance))
        rows.append(
            {
                "messages": [
                    {"role": "user", "content": question.text},
                    {"role": "assistant", "content": answer},
                ]
            }
        )
    return rows


def out_of_domain() -> list[dict[str, Any]]:
    """One question {"id", "question"} on each of the 168 matters of the domains without a dataset."""
    random = Random(DATA_SEED)
    rows = []
    for domain in WORLD:
        if domain in TINY_DOMAINS:
            continue
        by_matter: dict[str, list[Question]] = {}
        for question in questions(domain):
            by_matter.setdefault(f"{question.entity} {question.problem}", []).append(question)
        for matter, wordings in by_matter.items():
            rows.append({"id": matter.replace(" ", "-"), "question": random.choice(wordings).text})
    return rows


def _jsonl(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()
