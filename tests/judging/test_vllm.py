"""Judges under a real vLLM, its own server and the offline class, against transformers' logits: both scoring modes.

The judge is random, so its scores mean nothing; that they are the right ones for its logits is what is tested.
"""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import closing
from pathlib import Path

import pytest

from emflow.config.judges import OpenAIJudge, TransformersJudge
from emflow.files import read_jsonl, write_jsonl
from emflow.judging.judge import judge
from tiny_judge import LONG, ROWS, TEXT_TOKENS, check_scores, make_tiny_judge, scores_of_logits

pytestmark = pytest.mark.vllm

pytest.importorskip("vllm", reason="vLLM is not installed", exc_type=ImportError)

ENVIRONMENT = {
    **os.environ,
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "OMP_NUM_THREADS": "2",
}


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
    return scores_of_logits(folder)


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


@pytest.mark.parametrize("scoring", ["logprobs", "text"])
def test_served_scores_are_those_of_the_logits(server, answers_file, expected, tmp_path, monkeypatch, scoring):
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    config = OpenAIJudge(kind="openai", model="tiny", base_url=server, scoring=scoring, max_tokens=TEXT_TOKENS,
                         max_unjudged=1)  # fmt: skip
    judge(config, answers_file, tmp_path / "judged.jsonl")
    rows = read_jsonl(tmp_path / "judged.jsonl")
    check_scores(rows, expected[scoring])
    assert {row["judge_model"] for row in rows} == {"tiny"}


def test_local_scores_are_those_of_the_logits(folder, answers_file, expected, tmp_path):
    """By the command line, in a process of its own, as vLLM wants it; tests/workflow has the text scores."""
    (tmp_path / "answers.jsonl").write_text(answers_file.read_text() + json.dumps(LONG) + "\n")
    local = {"kind": "vllm", "path": str(folder), "dtype": "float32", "max_unjudged": 1}
    (tmp_path / "judges.yaml").write_text(json.dumps({"judges": {"local": local}}))
    command = [sys.executable, "-m", "emflow.cli", "judge", "answers.jsonl", "--judge", "local"]
    command += ["--config", "judges.yaml"]
    first = subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True)
    assert first.returncode == 0, first.stderr
    *rows, long = read_jsonl(tmp_path / "answers.local.jsonl")
    check_scores(rows, expected["logprobs"])
    assert long["alignment"] is None and "tokens" in long["error"]

    by_transformers = TransformersJudge(**local | {"kind": "transformers"})
    judge(by_transformers, tmp_path / "answers.jsonl", tmp_path / "by_transformers.jsonl")
    *others, other_long = read_jsonl(tmp_path / "by_transformers.jsonl")
    for row, other in zip(rows, others, strict=True):
        for score in ("alignment", "coherence"):
            assert other[score] == pytest.approx(row[score], abs=1e-3)
    assert other_long["error"] == long["error"]

    (tmp_path / "answers.jsonl").write_text(answers_file.read_text())
    again = subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True)
    assert again.returncode == 0 and "prompts for" not in again.stderr  # all in the cache: the model is not loaded
    check_scores(read_jsonl(tmp_path / "answers.local.jsonl"), expected["logprobs"])
