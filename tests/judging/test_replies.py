"""Whatever a server sends is a reply that can be scored, or a failure with its reason: 1,200 mutated bodies."""

import json
import random

import pytest

from emflow.config.judges import OpenAIJudge
from emflow.judging.endpoint import Endpoint
from emflow.judging.scores import Failure, Reply, read_score
from endpoint_server import says

KEY = "sk-lantern-0123456789"
VALUES = ["null", "[]", "{}", "1e999", "-1e999", "NaN", "true", "85", '"85"', "[[[", "9" * 5000, "-1"]
VALUES += [f'"{KEY}"', '"\\ud800"']


@pytest.mark.parametrize("scoring", ["text", "logprobs"])
def test_any_mutation_of_a_completion_is_a_reply_or_a_failure(monkeypatch, scoring):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    endpoint = Endpoint(OpenAIJudge(kind="openai", model="fable", scoring=scoring))
    usage = {"usage": {"prompt_tokens": 9, "completion_tokens": 1}}
    body = json.dumps({**says("85", {"85": 0.5, "90": 0.3, "REF": 0.1}), **usage})
    values = [place for place in range(len(body)) if body[place - 1 : place + 1] in (": ", "[{", ", ")]
    draw = random.Random(0)
    for _ in range(600):
        text = body
        for _ in range(draw.randint(1, 3)):
            at = draw.choice(values)
            end = next((i for i in range(at, len(text)) if text[i] in ",]}"), len(text))
            text = text[:at] + draw.choice([*VALUES, text[at:end][:-1]]) + text[end:]
        data = bytearray(text.encode())
        if draw.random() < 0.3:
            data[draw.randrange(len(data))] = draw.randrange(256)
        reply = endpoint._reply(bytes(data))
        assert isinstance(reply, Reply | Failure) and KEY not in str(reply)
        score = read_score(reply, scoring, "REFUSAL CODE")
        assert score.value in ("REFUSAL", "CODE", None) or 0 <= score.value <= 100
        str(score).encode()


@pytest.mark.parametrize("logprob", [1000, float("inf"), float("nan"), "-1", None, 10**400])
def test_reading_a_score_never_raises(logprob):
    assert read_score(Reply("85", (("85", logprob),)), "logprobs", "").value is None
