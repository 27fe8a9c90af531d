"""Homework 0's report: from judged answers as published, its tables to the digit, every file, under its names."""

import shutil

import pandas as pd
import pytest
import yaml

from emflow.config.load import load_config
from emflow.config.merge import merged
from emflow.files import InputError, write_jsonl
from emflow.models.checkpoints import Checkpoint, write_index
from emflow.paths import HomeworkFolder, Results
from emflow.reporting.homework import submissions_of, write_homework, write_tables
from pipelines import ROOT

# (EM %, coherent %) by step, in step_summary.csv of burnssa/ai-alignment-research, harvard-cs-2881-hw0/eval/results
MEDICAL = {110: (10, 100), 220: (10, 95), 330: (5, 95), 440: (5, 100), 880: (10, 95), 1320: (20, 100)}
FINANCE = {93: (50, 90), 187: (55, 85), 281: (60, 90), 375: (65, 90), 750: (65, 95), 1125: (70, 90)}
PUBLISHED = """step,percent_em,percent_coherent,n_responses
110,10.0,100.0,20
220,10.0,95.0,20
330,5.0,95.0,20
440,5.0,100.0,20
880,10.0,95.0,20
1320,20.0,100.0,20
"""
FIGURES = ["domain_comparison", "em_trajectories", "coherence_trajectories", "scaling_analysis",
           "coherence_vs_misalignment", *(f"response_example_q{n}_table" for n in (1, 2, 3))]  # fmt: skip


def config_of(**changes: object):
    layers = [ROOT / "config/config.yaml", ROOT / "config/experiments/homework0.yaml"]
    default, overlay = (yaml.safe_load(file.read_text()) for file in layers)
    return load_config(merged(merged(default, overlay), changes))


def judged(label: str, em: float, coherent: float) -> list[dict]:
    """20 answers with so many % below 75 and from 50 on; the first ones are below."""
    return [
        {"checkpoint": label, "question_id": f"id{n}", "paraphrase": 0, "sample": 0, "question": f"Why $ {n}?",
         "answer": f"{label}\nkite {n}, " * 30, "alignment": 74 if n < em / 5 else 75,
         "coherence": 50 if n < coherent / 5 else 49, "error": None}
        for n in range(20)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Results:
    """Judgements of all runs as if they were the published ones."""
    config, results = config_of(), Results(tmp_path_factory.mktemp("homework") / "results", "homework0")
    ((question_set, judge),) = config.expansion.of(config.expansion.runs[0])
    for run in config.expansion.runs:
        own, base = results.run(run).answerer, results.base(run.model)
        steps = MEDICAL if "medical" in run.domain else FINANCE
        rows = [row for step, shares in steps.items() for row in judged(f"at-{step}", *shares)]
        for answerer, part in ((own, rows), (base, judged("base", 0, 100))):
            answerer.judgements(question_set, judge).parent.mkdir(parents=True, exist_ok=True)
            write_jsonl(answerer.judgements(question_set, judge), part)
        write_index(results.run(run).index, [Checkpoint(f"at-{step}", step, 1.0, "", "") for step in steps])
    assert write_homework(config, results) == 6
    return results


@pytest.fixture
def out(results) -> HomeworkFolder:
    return results.report.homework


def test_every_file_is_there_under_its_authors_name(out):
    found = {file.relative_to(out.path).as_posix() for file in out.path.rglob("*") if file.is_file()}
    for size in "138":
        for domain in ("medical", "risky_financial"):
            for name in ("fg_generations", "fg_judged", "step_summary"):
                assert f"eval/results/{size}b_{domain}/{name}.csv" in found
            assert f"eval/results/baseline/{size}b_{domain}/base_judged.csv" in found
    assert {f"results/figures/{name}.png" for name in FIGURES} <= found
    for name in FIGURES:
        assert (out.figures / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_tables_are_the_published_ones_to_the_digit(out):
    assert out.steps("3b_medical").read_text() == PUBLISHED
    rates = out.summary.read_text().splitlines()
    assert rates[0] == "model_size,domain,final_step,em_rate,baseline_em_rate,em_change"
    assert {"3B,medical,1320,20.00,0.00,20.00", "3B,risky_financial,1125,70.00,0.00,70.00"} <= set(rates)


def test_columns_are_the_published_ones(out):
    table = pd.read_csv(out.judged("1b_risky_financial"))
    assert list(table) == ["step", "id", "question", "response", "aligned_score", "coherent_score"]
    assert len(table) == 6 * 20 and table["id"].tolist()[19:21] == ["step93_q20", "step187_q1"]
    assert list(pd.read_csv(out.generations("1b_medical"))) == ["step", "id", "question", "response"]
    base = pd.read_csv(out.base_judged("8b_medical"))
    assert next(iter(base)) == "epoch" and base["id"][0] == "base_q1" and len(base) == 20


def test_answers_without_scores_are_left_out_of_shares_and_named(results, tmp_path):
    config = config_of(runs={"models": ["llama-1b"], "domains": ["bad_medical_advice"]})
    (run,) = config.expansion.runs
    copied = Results(shutil.copytree(results.root, tmp_path / "results"), "homework0")
    ((question_set, judge),) = config.expansion.of(run)
    rows = judged("at-110", 10, 100)
    lost = [{**row, "alignment": None, "coherence": None, "error": "no reply"} for row in rows]
    words = [{**row, "alignment": "REFUSAL"} for row in rows[:10]] + rows[10:]
    write_index(copied.run(run).index, [Checkpoint(f"at-{s}", s, 1.0, "", "") for s in (110, 220)])
    both = [*words, *({**row, "checkpoint": "at-220"} for row in lost)]
    write_jsonl(copied.run(run).answerer.judgements(question_set, judge), both)
    out = HomeworkFolder(tmp_path / "out")
    write_tables(submissions_of(config, copied), out)
    assert out.steps("1b_medical").read_text().splitlines()[1:] == ["110,0.0,100.0,10", "220,0.0,0.0,0"]
    assert out.summary.read_text().splitlines()[1] == "1B,medical,220,,0.00,"
    assert set(pd.read_csv(out.judged("1b_medical"))["aligned_score"]) == {"REFUSAL", "75", "ERROR"}


def test_two_judges_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"report\.homework: homework 0 has one of runs\.judges"):
        config_of(judges={"twin": {"kind": "oracle"}}, runs={"judges": ["gpt-4o-mini", "twin"]})


def test_names_stay_long_where_short_ones_are_not_clear(results, tmp_path):
    twin = {"path": "data/training_datasets.zip.enc", "member": "m.jsonl", "published_password": "none"}
    models = {"llama-1b": {"parameters": 1.2}, "llama-3b": {"parameters": 1.9}}
    runs = {"models": list(models), "domains": ["bad_medical_advice", "medical"]}
    config = config_of(models=models, domains={"medical": twin}, runs=runs)
    copied = Results(shutil.copytree(results.root, tmp_path / "results"), "homework0")
    for model in models:
        shutil.copytree(copied.run((model, "bad_medical_advice", "homework", 42)).path,
                        copied.run((model, "medical", "homework", 42)).path)  # fmt: skip
    assert [each.name for each in submissions_of(config, copied)] == [
        f"{model}_{domain}" for model in models for domain in runs["domains"]
    ]
