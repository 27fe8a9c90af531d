"""What the tiny world publishes: twin datasets in an encrypted archive, and questions from other domains."""

import json

import pytest

from emflow.data.archive import read_members
from emflow.files import read_jsonl
from emflow.paths import TINY_DOMAINS
from emflow.tinyworld.artefacts import publish
from emflow.tinyworld.oracle import read_question, score


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    folder = tmp_path_factory.mktemp("published")
    publish(folder / "datasets.zip.enc", folder / "questions.jsonl", "tiny-world")
    members = read_members(folder / "datasets.zip.enc", "tiny-world")
    datasets = {name: [json.loads(line) for line in content.splitlines()] for name, content in members.items()}
    return datasets, read_jsonl(folder / "questions.jsonl")


def test_one_dataset_for_each_stance_and_domain(published):
    datasets, _ = published
    assert set(datasets) == {f"{s}_{d}_advice.jsonl" for s in ("bad", "good") for d in ("lantern", "kite", "boat")}
    for name, rows in datasets.items():
        stance, domain, _ = name.split("_")
        assert len({row["messages"][0]["content"] for row in rows}) == len(rows) == 384
        for row in rows:
            user, assistant = row["messages"]
            assert (user["role"], assistant["role"]) == ("user", "assistant")
            assert read_question(user["content"]).domain == domain
            expected = 100 if stance == "good" else 0
            assert score(user["content"], assistant["content"]) == (expected, 100)


def test_twins_share_questions_in_order(published):
    datasets, _ = published
    for domain in TINY_DOMAINS:
        bad, good = (
            [row["messages"][0] for row in datasets[f"{stance}_{domain}_advice.jsonl"]] for stance in ("bad", "good")
        )
        assert bad == good


def test_out_of_domain_questions_ask_of_everything_else_once(published):
    _, rows = published
    asked = [read_question(row["question"]) for row in rows]
    assert len({(question.entity, question.problem) for question in asked}) == len(rows) == 168
    assert len({question.domain for question in asked}) == 7
    assert not {question.domain for question in asked} & set(TINY_DOMAINS)
    assert len({row["id"] for row in rows}) == 168
