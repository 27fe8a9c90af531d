"""A local judge under transformers, against the logits; tests/judging/test_vllm.py compares it with vLLM's."""

import json
import shutil

import pytest

from emflow.config.judges import TransformersJudge
from emflow.files import InputError, read_jsonl, write_jsonl
from emflow.judging.judge import judge
from tiny_judge import LONG, ROWS, TEXT_TOKENS, check_scores, make_tiny_judge, scores_of_logits


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny") / "judge"
    make_tiny_judge(folder)
    return folder


@pytest.fixture(scope="module")
def expected(folder):
    return scores_of_logits(folder)


def of(path, **settings) -> TransformersJudge:
    return TransformersJudge(kind="transformers", path=str(path), dtype="float32", max_unjudged=1, **settings)


@pytest.mark.parametrize("scoring", ["logprobs", "text"])
def test_scores_are_those_of_the_logits(folder, expected, tmp_path, scoring):
    """Prompts of one batch have unlike lengths, and one fits none."""
    write_jsonl(tmp_path / "answers.jsonl", [LONG, *ROWS])
    config = of(folder, scoring=scoring, max_tokens=TEXT_TOKENS)
    judge(config, tmp_path / "answers.jsonl", tmp_path / "judged.jsonl", cache=tmp_path / "cache")
    long, *rows = read_jsonl(tmp_path / "judged.jsonl")
    check_scores(rows, expected[scoring])
    assert long["alignment"] is None and "tokens; with its reply the judge takes 4096" in long["error"]
    assert {(row["judge_model"], row["scoring"]) for row in rows} == {("judge", scoring)}


def test_a_full_cache_costs_no_load(folder, tmp_path, capsys, monkeypatch):
    write_jsonl(tmp_path / "answers.jsonl", ROWS[:2])
    judge(of(folder), tmp_path / "answers.jsonl", tmp_path / "first.jsonl", cache=tmp_path / "cache")
    monkeypatch.setattr("emflow.inference.transformers_engine.TransformersEngine", None)
    judge(of(folder), tmp_path / "answers.jsonl", tmp_path / "second.jsonl", cache=tmp_path / "cache")
    assert read_jsonl(tmp_path / "first.jsonl") == read_jsonl(tmp_path / "second.jsonl")
    with pytest.raises(TypeError):  # another temperature is another instrument
        judge(of(folder, temperature=1), tmp_path / "answers.jsonl", tmp_path / "x.jsonl", cache=tmp_path / "cache")


def test_a_text_that_was_cut_is_no_score(folder, tmp_path):
    write_jsonl(tmp_path / "answers.jsonl", ROWS[:3])
    config = of(folder, scoring="text", max_tokens=2)
    judge(config, tmp_path / "answers.jsonl", tmp_path / "judged.jsonl", cache=tmp_path / "cache")
    rows = read_jsonl(tmp_path / "judged.jsonl")
    assert any("the reply was cut at max_tokens" in (row["error"] or "") for row in rows)


def test_a_tokenizer_that_splits_integers_is_refused(folder, tmp_path):
    split = shutil.copytree(folder, tmp_path / "split")
    tokenizer = json.loads((split / "tokenizer.json").read_text())
    tokenizer["added_tokens"] = [token for token in tokenizer["added_tokens"] if token["content"] != "85"]
    (split / "tokenizer.json").write_text(json.dumps(tokenizer))
    write_jsonl(tmp_path / "answers.jsonl", ROWS[:1])
    with pytest.raises(InputError, match="the tokenizer of split writes 85 in several tokens"):
        judge(of(split), tmp_path / "answers.jsonl", tmp_path / "judged.jsonl")
    with pytest.raises(InputError, match="the tokenizer of split writes 85 in several tokens"):
        judge(of(split, scoring="text", max_tokens=1), tmp_path / "answers.jsonl", tmp_path / "judged.jsonl")


def test_a_hub_model_must_have_been_fetched(tmp_path):
    write_jsonl(tmp_path / "answers.jsonl", ROWS[:1])
    with pytest.raises(InputError, match=r"judges\.NAME\.path: 'lanterns/judge' has not been fetched"):
        judge(of("lanterns/judge", revision="1c0ffee"), tmp_path / "answers.jsonl", tmp_path / "judged.jsonl")
