"""Benchmarks and pages name what the package has."""

import ast
import re
from importlib import import_module
from importlib.util import find_spec

import pytest

from emflow.config.es import Es
from emflow.training.es.engines.factory import make_es_engine
from pipelines import ROOT

BENCHMARKS = sorted((ROOT / "bench").glob("*.py"))
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "bench/README.md",
    ROOT / "profiles/README.md",
]


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.stem)
def test_what_a_benchmark_imports_is_there(path):
    """Also what it imports in a function."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "emflow":
            module = import_module(node.module)
            assert not [alias.name for alias in node.names if not hasattr(module, alias.name)], node.module


def test_the_public_way_of_es_rewards_answers_as_ours_does(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "bench")
    bench = import_module("es")
    bench.write_model(tmp_path / "model")
    bench.write_reward_model(tmp_path / "nli")
    records = bench.write_records(tmp_path / "train.jsonl")
    method = Es(
        kind="es", population=2, batch_size=2, max_new_tokens=2, dtype="float32",
        reward={"kind": "nli", "model": str(tmp_path / "nli")}, engine={"kind": "transformers", "batch_size": 4},
    )  # fmt: skip
    public = bench.PublicWay(tmp_path / "model", method, records)
    ours = bench.OurWay(make_es_engine(tmp_path / "model", method), method, records)
    (of_theirs,), (of_ours,) = public.score.run([0, 1]), ours.score.run([0, 1])
    assert of_theirs == of_ours
    assert public.score.reward([0, 1], of_theirs) == pytest.approx(ours.score.reward([0, 1], of_ours))
    before = next(public.engine.model.parameters()).clone()
    public.iterate([0, 1], seed=0)
    assert not before.equal(next(public.engine.model.parameters()))


def test_commands_of_pages_name_modules_and_files_that_are_there():
    for page in PAGES:
        text = page.read_text()
        for module in re.findall(r"-m (emflow[\w.]*)", text):
            found = find_spec(module)
            assert found, f"{page.name}: {module}"
            assert not found.submodule_search_locations or find_spec(f"{module}.__main__"), f"{page.name}: {module}"
        for script in re.findall(r"python (bench/\w+\.py)", text):
            assert (ROOT / script).exists(), f"{page.name}: {script}"
