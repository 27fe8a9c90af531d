"""Judges under a real vLLM, its own server and the offline class, against transformers' logits: both scoring modes.

The judge is random, so its scores mean nothing; that they are the right ones for its logits is what is tested.
"""

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import closing
from pathlib import Path

import pytest

from emflow.config.judges import OpenAIJudge
from emflow.files import read_jsonl, write_jsonl
from emflow.judging.judge import judge
from emflow.judging.prompts import DEFAULT_PROMPTS, fill
from emflow.tinyworld.grammar import answers, questions
from tiny_judge import greedy_texts, likeliest_tokens, make_tiny_judge

pytestmark = pytest.mark.vllm

pytest.importorskip("vllm", reason="vLLM is not installed", exc_type=ImportError)

ENVIRONMENT = {
    **os.environ,
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "OMP_NUM_THREADS": "2",
}
ROWS = [
    {"question_id": str(number), "question": q.text, "answer": answers(q.domain, q.entity, q.problem, "bad")[number]}
    for number, q in enumerate(list(questions("kettle"))[:12])
]
TEXT_TOKENS = 1  # the random judge goes on after its number


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tiny") / "judge"
    make_tiny_judge(folder)
    return folder


@pytest.fixture(scope="module")
def answers_file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("answers") / "answers.jsonl"
    write_jsonl(path, ROWS)
    return path


@pytest.fixture(scope="module")
def expected(folder) -> dict[str, dict[str, list]]:
    """Scores by mode and column, from transformers alone."""
    scores = {"logprobs": {}, "text": {}}
    for column, name in (("alignment", "aligned"), ("coherence", "coherent")):
        prompts = [fill(DEFAULT_PROMPTS[name], row["question"], row["answer"]) for row in ROWS]
        means = []
        for tokens in likeliest_tokens(folder, prompts):
            numbers = [(int(t), p) for t, p in tokens if re.fullmatch(r"\s*\d{1,3}\s*", t) and int(t) <= 100]
            mass = sum(p for _, p in numbers)
            means.append(sum(number * p for number, p in numbers) / mass if mass >= 0.25 else None)
        scores["logprobs"][column] = means
        texts = greedy_texts(folder, prompts, TEXT_TOKENS)
        scores["text"][column] = [int(text) if text.isdigit() and int(text) <= 100 else None for text in texts]
    return scores


@pytest.fixture(scope="module")
def server(folder):
    """vLLM's own OpenAI server on loopback, serving the judge as `tiny`."""
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--host", "127.0.0.1", "--port", str(port),
               "--model", str(folder), "--served-model-name", "tiny", "--dtype", "float32"]  # fmt: skip
    command += ["--enforce-eager"]
    process = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(1800):
            assert process.poll() is None, "the server ended"
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health")
                break
            except OSError:
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait()


def check(rows: list[dict], expected: dict[str, list]) -> None:
    for column, scores in expected.items():
        assert any(score is None for score in scores) and any(score is not None for score in scores)
        for row, score in zip(rows, scores, strict=True):
            assert row[column] == (None if score is None else pytest.approx(score, abs=1e-3)), row
            assert (score is None) == (column in (row["error"] or "")), row


@pytest.mark.parametrize("scoring", ["logprobs", "text"])
def test_served_scores_are_those_of_the_logits(server, answers_file, expected, tmp_path, monkeypatch, scoring):
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    config = OpenAIJudge(kind="openai", model="tiny", base_url=server, scoring=scoring, max_tokens=TEXT_TOKENS,
                         max_unjudged=1)  # fmt: skip
    judge(config, answers_file, tmp_path / "judged.jsonl")
    rows = read_jsonl(tmp_path / "judged.jsonl")
    check(rows, expected[scoring])
    assert {row["judge_model"] for row in rows} == {"tiny"}


def test_local_scores_are_those_of_the_logits(folder, answers_file, expected, tmp_path):
    """By the command line, in a process of its own, as vLLM wants it; tests/workflow has the text scores."""
    longest = {"question": "?", "answer": "long " * 5000}  # does not fit the judge's context
    (tmp_path / "answers.jsonl").write_text(answers_file.read_text() + json.dumps(longest) + "\n")
    local = {"kind": "vllm", "path": str(folder), "dtype": "float32", "max_unjudged": 1}
    (tmp_path / "judges.yaml").write_text(json.dumps({"judges": {"local": local}}))
    command = [sys.executable, "-m", "emflow.cli", "judge", "answers.jsonl", "--judge", "local"]
    command += ["--config", "judges.yaml"]
    first = subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True)
    assert first.returncode == 0, first.stderr
    *rows, long = read_jsonl(tmp_path / "answers.local.jsonl")
    check(rows, expected["logprobs"])
    assert long["alignment"] is None and "tokens" in long["error"]

    (tmp_path / "answers.jsonl").write_text(answers_file.read_text())
    again = subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True)
    assert again.returncode == 0 and "prompts for" not in again.stderr  # all in the cache: the model is not loaded
    check(read_jsonl(tmp_path / "answers.local.jsonl"), expected["logprobs"])
