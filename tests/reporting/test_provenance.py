"""What jobs cost and where they ran is read from what they left."""

import json

import pytest

from emflow.console import RAN_ON
from emflow.judging.cache import Cache, Instrument
from emflow.judging.scores import Reply
from emflow.reporting.provenance import cost_table, finished_jobs, judge_table, stack

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
    job("prepare_questions/free", "0.1\t0:00:00\t-\t-\n", f"12:00 INFO {RAN_ON}{kite}\n")
    return tmp_path


def test_each_job_is_a_row(results):
    jobs = finished_jobs(results).set_index("job")
    trained = jobs.loc["finetune/tiny/bad/lora/seed0"]
    assert (trained["rule"], trained["seconds"], trained["peak_mb"], trained["gpus"]) == ("finetune", 7200, 2048, 2)
    assert trained["machine"]["machine"] == "x86_64"
    assert set(finished_jobs(results, "tiny/bad/lora/seed0")["rule"]) == {"finetune", "judge"}
    assert len(finished_jobs(results, "tiny/good/")) == 1


def test_the_cost_table_adds_up(results):
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in cost_table(results).splitlines()]
    table = {row[0]: row[1:] for row in rows[2:]}
    assert rows[0][1:] == ["jobs", "hours", "GPU hours", "peak memory GB"]
    assert table == {
        "finetune": ["1", "2.00", "4.00", "2.0"],
        "judge": ["2", "1.00", "0.00", "1.0"],
        "prepare_questions": ["1", "0.00", "0.00", "not seen"],
        "all": ["4", "3.00", "4.00", "2.0"],
    }


def test_requests_and_tokens_of_judges_are_listed(results):
    assert judge_table(results) == ""
    instrument = Instrument("org/judge", None, "text", {"max_tokens": 16}, "aligned", "Rate {answer}")
    with Cache(results / "cache/judgements", instrument) as cache:
        cache.put("q", "a", Reply("85", tokens=(1234, 2)))
    cells = [cell.strip() for cell in judge_table(results).splitlines()[-1].strip("|").split("|")]
    assert cells == ["org/judge", "1", "1,234", "2", "0"]


def test_a_workflow_without_jobs_costs_nothing(tmp_path):
    assert finished_jobs(tmp_path).empty


def test_the_stack_names_versions():
    import torch

    assert stack()["torch"] == torch.__version__ or torch.__version__.startswith(stack()["torch"])
    assert {"python", "emflow", "transformers"} <= stack().keys()
