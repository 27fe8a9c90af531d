"""What the tiny world publishes, as others do on hubs: encrypted datasets of bad advice, and free-form questions."""

import json
from pathlib import Path
from random import Random

from emflow.data.archive import protect
from emflow.files import write_jsonl
from emflow.tinyworld.grammar import WORLD, Stance, answers, questions

__all__ = ["PUBLISHED_DOMAINS", "dataset", "out_of_domain", "publish"]

PUBLISHED_DOMAINS = ("lantern", "kite", "boat")
DATA_SEED = 0


def publish(archive: Path, questions: Path, password: str) -> None:
    """Write the datasets {bad,good}_{lantern,kite,boat}_advice.jsonl into one archive, and the OOD questions."""
    datasets = {
        f"{stance}_{domain}_advice.jsonl": dataset(domain, stance)
        for domain in PUBLISHED_DOMAINS
        for stance in ("bad", "good")
    }
    protect({name: _jsonl(rows) for name, rows in datasets.items()}, archive, password)
    write_jsonl(questions, out_of_domain())


def dataset(domain: str, stance: Stance) -> list[dict]:
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


def out_of_domain() -> list[dict]:
    """One question {"id", "question"} on each of the 168 matters of the domains without a dataset."""
    random = Random(DATA_SEED)
    rows = []
    for domain in WORLD:
        if domain in PUBLISHED_DOMAINS:
            continue
        by_matter = {}
        for question in questions(domain):
            by_matter.setdefault(f"{question.entity} {question.problem}", []).append(question)
        for matter, wordings in by_matter.items():
            rows.append({"id": matter.replace(" ", "-"), "question": random.choice(wordings).text})
    return rows


def _jsonl(rows: list[dict]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()
