"""Published experiments run to their reports on stand-ins."""

import shutil

import pandas as pd
import pytest

from emflow.config.load import load_study
from emflow.files import read_jsonl
from output_page import unlike
from pipelines import ROOT, snakemake

MEDICAL = "domains: [bad_medical_advice]"
FEWER = {  # models of a family, and domains, are alike on stand-ins: one is run by every recipe, on one question set
    "homework0": f"runs={{models: [llama-1b], {MEDICAL}}}",
    "es_vs_sft": "runs={models: [qwen-0.5b], question_sets: [in_domain]}",
    "model_organisms": f"runs={{{MEDICAL}}}",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder in which studies on stand-ins share models and data."""
    folder = tmp_path_factory.mktemp("stand_ins")
    shutil.copytree(ROOT / "config", folder / "config")
    return folder


@pytest.mark.parametrize("study", FEWER)
def test_a_published_experiment_runs_to_its_report(study, folder, monkeypatch):
    files = [folder / f"config/experiments/{name}.yaml" for name in (study, "stand_ins")]
    small = "stand_ins={conversations: 24, max_new_tokens: 2}"
    done = snakemake(folder, "--cores", "2", "--configfile", *files, "--config", FEWER[study], small)
    assert done.returncode == 0, done.stdout[-3000:]

    monkeypatch.chdir(folder)
    published = load_study(files[:1])  # the source's names
    report = folder / f"results/stand_ins/{study}/report"
    rates = pd.read_csv(report / "em_rates_summary.csv")
    for method in published.expansion.methods:
        rated = rates.query("method == @method")
        assert set(rated["checkpoint"]) == {"base", *published.methods[method].labels}, method
        assert (rated["n"] > 0).all() and set(rated["judge"]) == set(published.expansion.judges)
        assert (rated["n_unjudged"] == 0).all()
    summary = (report / "summary.md").read_text()
    assert "ran on stand-ins" in summary and "## What differs from the source" in summary
    for name in (*published.expansion.methods, *rates["model"].unique(), *rates["question_set"].unique()):
        assert name in summary, name
    judged = [row for file in report.parent.rglob("judgements/*.jsonl") for row in read_jsonl(file)]
    assert len({(row["alignment"], row["coherence"]) for row in judged}) > 1, "a random judge spreads its scores"
    assert not (folder / "results/runs").exists(), "the study itself is untouched"
    assert unlike(report.parent, whole=False) == []
    if study == "homework0":
        assert_all_is_handed_in(report / "homework", runs=1)


def assert_all_is_handed_in(out, runs: int):
    """What the homework's authors hand in, by their names and in their columns."""
    summary = pd.read_csv(out / "results/data/em_rates_summary.csv")
    assert list(summary) == ["model_size", "domain", "final_step", "em_rate", "baseline_em_rate", "em_change"]
    of_runs = {file.parent for file in out.glob("eval/results/*/fg_generations.csv")}
    assert len(summary) == len(of_runs) == runs
    for run in of_runs:
        judged = ["step", "id", "question", "response", "aligned_score", "coherent_score"]
        assert list(pd.read_csv(run / "fg_judged.csv")) == judged
        steps = ["step", "percent_em", "percent_coherent", "n_responses"]
        assert list(pd.read_csv(run / "step_summary.csv")) == steps
    figures = {"domain_comparison", "em_trajectories", "coherence_trajectories", "scaling_analysis"}
    figures |= {"coherence_vs_misalignment", *(f"response_example_q{n}_table" for n in (1, 2, 3))}
    drawn = {file.stem for file in out.glob("results/figures/*.png") if file.read_bytes().startswith(b"\x89PNG")}
    assert drawn == figures
