"""What planned jobs ask for: every published experiment, every rule."""

import json
from collections import defaultdict

import pytest
import yaml

from emflow.progress_file import given_ahead
from pipelines import ROOT
from planned import planned

EXPERIMENTS = {path.stem: yaml.safe_load(path.read_text()) for path in (ROOT / "config/experiments").glob("*.yaml")}
BIG = {"models": {"tiny": {"parameters": 7}}}
VLLM = {"engine": {"kind": "vllm"}}
LOCAL_JUDGE = {"kind": "vllm", "path": "hub/judge", "revision": "1c0ffee"}
STUDIES = {
    "tiny": {},
    "tiny by vllm": VLLM,
    "tiny evolved by vllm": {"methods": {"es": VLLM}},
    "two ranks": BIG | {"methods": {"es": {"ranks": 2}, "lora": {"ranks": 2}}},
    "two ranks of vllm": BIG | {"methods": {"es": {"ranks": 2} | VLLM}},
    "tensor parallel": BIG | {"engine": {"kind": "vllm", "tensor_parallel_size": 2}},
    "judge": {"judges": {"local": LOCAL_JUDGE}, "runs": {"judges": ["oracle", "local"]}},
    "judge by transformers": {
        "judges": {
            "slow": LOCAL_JUDGE | {"kind": "transformers"},
            "tiny": LOCAL_JUDGE | {"kind": "transformers", "parameters": 0.001},
        },
        "runs": {"judges": ["slow", "tiny"]},
    },
    **EXPERIMENTS,
}


@pytest.fixture(scope="module")
def jobs(tmp_path_factory) -> dict[str, list[dict]]:
    """study -> all its planned jobs."""
    folder = tmp_path_factory.mktemp("planned")
    return dict(zip(STUDIES, planned(folder, *STUDIES.values()), strict=True))


def gpus(jobs: list[dict]) -> dict[str, set[int]]:
    """rule -> how many GPUs its jobs ask for, of rules with a job that asks for one."""
    asked = defaultdict(set)
    for job in jobs:
        asked[job["rule"]].add(job["gpus"])
    return {rule: numbers for rule, numbers in asked.items() if any(numbers)}


@pytest.mark.parametrize("study", STUDIES)
def test_a_job_asks_for_a_gpu_if_and_only_if_it_runs_where_cuda_is(jobs, study):
    assert {"decrypt", "split", "judge", "rate", "report"} <= {job["rule"] for job in jobs[study]}
    for job in jobs[study]:
        expected = "gpu.yaml" if job["gpus"] else "cpu.yaml"
        assert job["environment"] == (expected if job["script"] else None), json.dumps(job, indent=1)


@pytest.mark.parametrize(
    ("study", "expected"),
    [
        ("tiny", {}),
        ("tiny by vllm", {"generate": {1}, "generate_base": {1}}),
        ("tiny evolved by vllm", {"evolve": {1}, "materialise": {1}}),
        (
            "two ranks",
            {"finetune": {2}, "evolve": {2}, "materialise": {1}, "generate": {1}, "generate_base": {1}},
        ),
        (
            "two ranks of vllm",
            {"finetune": {1}, "evolve": {2}, "materialise": {1}, "generate": {1}, "generate_base": {1}},
        ),
        (
            "tensor parallel",
            {"finetune": {1}, "evolve": {1}, "materialise": {1}, "generate": {2}, "generate_base": {2}},
        ),
        ("judge", {"judge": {0, 1}}),  # the oracle asks for none
        ("judge by transformers", {"judge": {0, 1}}),  # a tiny model asks for none
        ("es_vs_sft", {"finetune": {1}, "evolve": {3}, "materialise": {1}, "generate": {1}, "generate_base": {1}}),
        ("nli_reward", {}),
        (
            "phase_transition",
            {"finetune": {1}, "scale_adapters": {1}}
            | {rule: {1} for rule in ("generate", "generate_scaled", "generate_base")},
        ),
        ("tiny_phase_transition", {}),
        ("tiny_directions", {}),
        (
            "convergent_directions",
            {
                rule: {1}
                for rule in (
                    "finetune",
                    "generate",
                    "generate_base",
                    "capture",
                    "intervene",
                    "project",
                    "read_adapters",
                )
            },
        ),
    ],
)
def test_jobs_ask_for_as_many_gpus_as_they_use(jobs, study, expected):
    assert gpus(jobs[study]) == expected


def test_a_job_whose_answers_another_gave_asks_for_no_gpu_and_stays_in_its_environment(tmp_path):
    study = EXPERIMENTS["phase_transition"]

    def answering() -> dict[str, dict]:
        (jobs,) = planned(tmp_path, study)
        return {job["output"][0]: job for job in jobs if job["rule"].startswith("generate")}

    before = answering()
    assert {(job["rule"], job["gpus"]) for job in before.values()} == {
        (rule, 1) for rule in ("generate", "generate_scaled", "generate_base")
    }
    given = {job["rule"]: out for out, job in before.items()}.values()  # one of each
    for out in given:
        mark = given_ahead(tmp_path / out)
        mark.parent.mkdir(parents=True)
        mark.touch()
    after = answering()
    assert {out for out, job in after.items() if not job["gpus"]} == {*given}
    assert {after[out]["environment"] for out in given} == {"gpu.yaml"}
