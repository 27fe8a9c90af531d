"""What jobs cost and where they ran is read from what they left."""

import json

import pytest

from emflow.config.load import load_config
from emflow.console import RAN_ON, RANK_USED
from emflow.files import InputError, write_jsonl
from emflow.judging.cache import Cache, Instrument
from emflow.judging.scores import Reply
from emflow.models.commit import COMMIT
from emflow.paths import Results
from emflow.reporting.design import Design
from emflow.reporting.jobs import jobs_of
from emflow.reporting.numbers import Numbers
from emflow.reporting.provenance import commits, finished_jobs, requests_of_judges, stack
from emflow.reporting.section import ShownTable
from emflow.reporting.sections.costs import costs

HEADER = "s\th:m:s\tmax_rss\tcpu_time\n"


@pytest.fixture
def results(tmp_path):
    def job(name: str, measured: str, said: str) -> None:
        for kind, suffix, text in (("benchmarks", "tsv", HEADER + measured), ("logs", "log", said)):
            file = tmp_path / kind / f"{name}.{suffix}"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)

    lantern = json.dumps({"machine": "x86_64", "gpus": ["Lantern 1", "Lantern 1"]})
    kite = json.dumps({"machine": "x86_64", "gpus": []})
    job("finetune/tiny/bad/lora/seed0", "7200.0\t2:00:00\t2048.0\t9000\n", f"12:00 emflow INFO {RAN_ON}{lantern}\n")
    job("judge/runs/tiny/bad/lora/seed0/free.oracle", "1800.0\t0:30:00\t-\t-\n", f"12:00 INFO {RAN_ON}{kite}\n")
    job(
        "judge/runs/tiny/good/lora/seed0/free.oracle",
        "1800.0\t0:30:00\t1024.0\t3\n",
        "it says nothing of its machine\n",
    )
    job("judge/runs/tiny/bad/lora/seed7/free.oracle", "60.0\t0:01:00\t-\t-\n", "of another study\n")
    job("prepare_questions/free", "0.1\t0:00:00\t-\t-\n", f"12:00 INFO {RAN_ON}{kite}\n")
    return Results(tmp_path)


def test_each_job_is_a_row(results):
    jobs = finished_jobs(results).set_index("job")
    trained = jobs.loc["finetune/tiny/bad/lora/seed0"]
    assert (trained["rule"], trained["seconds"], trained["peak_mb"], trained["gpus"]) == ("finetune", 7200, 2048, 2)
    assert trained["machine"]["machine"] == "x86_64"
    assert set(finished_jobs(results, "tiny/bad/lora/seed0")["rule"]) == {"finetune", "judge"}
    assert len(finished_jobs(results, "tiny/good/")) == 1


def test_gpus_of_ranks_are_the_jobs(results):
    """Of its last start: one that was killed told of its ranks, too."""
    none, one = json.dumps({"gpus": [], "gpu_peak_mb": []}), json.dumps({"gpus": ["Lantern 1"], "gpu_peak_mb": [7]})
    start = [f"12:00 emflow.ranks INFO {RANK_USED}{one}"] * 2 + [f"12:00 emflow INFO {RAN_ON}{none}"]
    for log in (start, [*start, *start], [*start, f"12:00 emflow.ranks INFO {RANK_USED}{one}", *start[2:]]):
        results.log("finetune", "tiny/bad/lora/seed0").write_text("\n".join(log) + "\n")
        found = finished_jobs(results).set_index("job").loc["finetune/tiny/bad/lora/seed0"]
        ranks = 1 if len(log) == 5 else 2
        assert found["gpus"] == ranks and found["machine"]["gpu_peak_mb"] == [7] * ranks


@pytest.mark.parametrize("text", ["", "garbage", "s\tmax_rss\n", "s\tmax_rss\nx\ty\n"])
def test_a_damaged_benchmark_is_named(results, text):
    (results.benchmarks / "finetune/tiny/bad/lora/seed0.tsv").write_text(text)
    with pytest.raises(InputError, match=r"lora/seed0\.tsv is damaged: delete it"):
        finished_jobs(results)


@pytest.mark.parametrize("text", ["{", "5", '{"gpus": 5}', "[" * 100_000])
def test_a_damaged_log_is_named(results, text):
    results.log("finetune", "tiny/bad/lora/seed0").write_text(RAN_ON + text)
    with pytest.raises(InputError, match=r"lora/seed0\.log is damaged .*: delete it"):
        finished_jobs(results)


def test_commits_of_hub_models_are_named_where_the_config_names_none(results, study):
    raw = study.model_dump(mode="json")
    raw["models"]["hub"] = {"path": "org/wick"}
    raw["methods"]["es"] = {"kind": "es", "reward": {"kind": "nli", "model": "org/nli"}}
    raw["judges"]["local"] = {"kind": "vllm", "path": "org/judge", "revision": "main"}
    config = load_config(raw)
    for number, folder in enumerate(
        [results.snapshot("models", "hub"), results.snapshot("rewards", "es"), results.snapshot("judges", "local")]
    ):
        folder.mkdir(parents=True)
        if number < 2:  # the third was fetched by an earlier version
            (folder / COMMIT).write_text(40 * str(number) + "\n")
    assert commits(config, results, "hub", "es", ["oracle", "local"]) == {
        "models.hub": 40 * "0",
        "methods.es.reward": 40 * "1",
        "judges.local": None,
    }
    assert commits(config, Results(), "tiny", "lora", ["oracle"]) == {}  # grown here


@pytest.fixture
def study(results):
    """The study whose jobs these are, judged by a language model too."""
    tiny = {"path": "results/tinyworld/models/seed0"}
    judge = {"kind": "openai", "model": "org/judge", "scoring": "text"}
    names = {"models": ["tiny"], "domains": ["bad", "good"], "methods": ["lora"], "question_sets": ["free"]}
    return load_config(
        {
            "runs": {**names, "judges": ["oracle", "model"]},
            "models": {"tiny": tiny},
            "domains": {name: {"path": f"{name}.jsonl"} for name in ("bad", "good")},
            "methods": {"lora": {"kind": "lora"}},
            "question_sets": {"free": {"source": "free.csv"}},
            "judges": {"oracle": {"kind": "oracle"}, "model": judge},
        }
    )


def tables(study, results):
    """The tables of the section on costs."""
    jobs = finished_jobs(results)
    jobs = jobs[jobs["job"].isin(jobs_of(study, results))]
    section = costs(Numbers(jobs, jobs=jobs, requests=requests_of_judges(study, results)), Design())
    return {part.name: part.shown for part in section.parts if isinstance(part, ShownTable)}


def test_the_cost_table_adds_up_what_is_the_studys_own(results, study):
    shown = tables(study, results)["costs"]
    assert list(shown) == ["rule", "jobs", "time", "GPU time", "peak memory GB"]
    assert {row[0]: list(row[1:]) for row in shown.itertuples(index=False)} == {
        "finetune": ["1", "2.0 h", "4.0 h", "2.0"],
        "judge": ["2", "1.0 h", "–", "1.0"],
        "prepare_questions": ["1", "0.1 s", "–", "not seen"],
        "all": ["4", "3.0 h", "4.0 h", "2.0"],
    }


def test_requests_and_tokens_of_judges_are_listed(results, study):
    assert "requests" not in tables(study, results)
    instrument = Instrument("org/judge", None, "text", {"max_tokens": 16}, "aligned", "Rate {answer}")
    with Cache(results.judgement_cache, instrument) as cache:
        cache.put("q", "a", Reply("85", tokens=(1234, 2)))
        cache.put("q", "the answer in another study", Reply("85", tokens=(9999, 2)))
    assert "requests" not in tables(study, results)
    judged = results.run(("tiny", "bad", "lora", 0)).answerer.judgements("free", "model")
    write_jsonl(judged, [{"question": "q", "answer": "a"}])
    assert tables(study, results)["requests"].to_numpy().tolist() == [["org/judge", "1", "1,234", "2", "0"]]


def test_a_workflow_without_jobs_costs_nothing(tmp_path):
    assert finished_jobs(Results(tmp_path)).empty


def test_the_stack_names_versions():
    import torch

    assert stack()["torch"] == torch.__version__ or torch.__version__.startswith(stack()["torch"])
    assert {"python", "emflow", "transformers"} <= stack().keys()
