"""One speller of what lies under `results/`."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from emflow.paths import Answerer, Results
from pipelines import ROOT

SPELLER = ROOT / "src/emflow/paths.py"
CODE = [path for part in ("src", "workflow") for path in sorted((ROOT / part).rglob("*"))]
OTHERS = [ROOT / "Snakefile", *(path for path in CODE if path.suffix in (".py", ".smk") and path != SPELLER)]
# names of folders and files that the speller knows
PIECES = {
    node.value
    for node in ast.walk(ast.parse(SPELLER.read_text()))
    if isinstance(node, ast.Constant) and re.fullmatch(r"[a-z][\w.]+", str(node.value))
}


def texts(code: str) -> Iterator[tuple[str, bool]]:
    """Every text of a Python or Snakemake file that is one word, and whether `/` joins it to a path.

    Texts in three quotes are prose.
    """
    found = [token for token in tokenize.generate_tokens(io.StringIO(code).readline) if token.type != tokenize.NL]
    for before, token, after in zip(found, found[1:], found[2:], strict=False):
        if token.type == tokenize.STRING:
            text = token.string.lstrip("rfbRFB")
            if not text.startswith(('"""', "'''")) and not any(map(str.isspace, text)):
                yield text[1:-1], "/" in (before.string, after.string)
        elif tokenize.tok_name[token.type] == "FSTRING_MIDDLE" and not any(map(str.isspace, token.string)):
            yield token.string, False


def spelled(code: str) -> list[str]:
    """The parts of paths under `results/` in a file's texts."""
    return [
        text
        for text, joined in texts(code)
        if text.split("/")[0] == "results" or (text in PIECES and (joined or "." in text))
    ]


@pytest.mark.parametrize("path", OTHERS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_other_file_spells_a_path_of_the_results(path):
    assert spelled(path.read_text()) == []


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ('rule a:\n    input: "results/data/kites"', ["results/data/kites"]),
        ('index = run / "checkpoints.json"', ["checkpoints.json"]),
        ('index = f"checkpoints.json"', ["checkpoints.json"]),
        ('folder = root / "judgements" / name', ["judgements"]),
        ('"""results/report"""; raise ValueError("see results/report for more")', []),
        ('kind = ["judgements", "runs"]; ratio = 1 / 2', []),
    ],
)
def test_a_spelled_path_is_seen(code, found):
    assert {"train.progress", "es_log.jsonl", "train_log.jsonl", "snapshot", "em_rates_summary.csv"} <= PIECES
    assert spelled(code) == found


WILDCARDS = {"model": "tiny", "domain": "bad", "method": "lora", "seed": 3, "set": "in_domain", "judge": "oracle",
             "label": "epoch-1", "sha256": "1c0ffee", "file": "a.yaml", "owner": "base/tiny"}  # fmt: skip
PATTERNS = [
    lambda results, w: results.run((w["model"], w["domain"], w["method"], w["seed"])).index,
    lambda results, w: results.run((w["model"], w["domain"], w["method"], w["seed"])).answerer.generations(w["set"]),
    lambda results, w: results.answerer(w["owner"]).judgements(w["set"], w["judge"]),
    lambda results, w: results.answerer(w["owner"]).export(w["set"], w["label"]),
    lambda results, w: results.base(w["model"]).generations(f"{w['set']}/{w['domain']}"),
    lambda results, w: results.records(w["domain"]),
    lambda results, w: results.train(w["domain"]),
    lambda results, w: results.validation(w["domain"]),
    lambda results, w: results.questions(w["set"]),
    lambda results, w: results.judge_prompts(w["set"]),
    lambda results, w: results.download(w["sha256"], w["file"]),
    lambda results, w: results.snapshot("models", w["model"]),
    lambda results, w: results.snapshot("judges", w["judge"]),
    lambda results, w: results.snapshot("rewards", w["method"]),
    lambda results, w: results.tiny_model(w["seed"]),
    lambda results, w: results.tiny_nli(w["seed"]),
    lambda results, w: results.log("judge", f"{w['owner']}/{w['set']}.{w['judge']}"),
    lambda results, w: results.benchmark("split", w["domain"]),
]


@pytest.mark.parametrize("path", PATTERNS)
def test_a_pattern_with_its_wildcards_filled_in_is_the_path(path):
    results = Results()
    pattern = path(results, {name: f"{{{name}}}" for name in WILDCARDS})
    assert str(pattern).format(**WILDCARDS) == str(path(results, WILDCARDS))
    assert "{" in str(pattern)


def test_the_root_stands_before_every_path():
    elsewhere = Results("/elsewhere/results")
    for path in PATTERNS:
        assert path(elsewhere, WILDCARDS) == Path("/elsewhere") / path(Results(), WILDCARDS)


def test_whoever_answers_is_found_by_the_path_under_the_root():
    results = Results("/somewhere/results")
    for answerer in (results.base("tiny"), results.run(("tiny", "bad", "lora", 0)).answerer):
        assert results.answerer(results.owner(answerer)) == answerer
    assert results.owner(Answerer(results.root / "base/tiny")) == "base/tiny"


def test_grown_models_are_told_from_others():
    results = Results()
    assert results.is_tiny_model(results.tiny_model(7)) and results.is_tiny_model("results/tinyworld/models/seed0")
    assert not any(map(results.is_tiny_model, ["results/tinyworld/models/seed", "models/seed0", "./seed0"]))
