"""docs/own_experiment.md, run as it stands, with a judge on loopback."""

import json
import shutil

from emflow.files import read_jsonl
from endpoint_server import Response, says, serving
from pages import blocks, call, write
from pipelines import ROOT, clone, snakemake

PAGE = "docs/own_experiment.md"


def respond(request: dict, before: int) -> Response:
    """Sense is always there; advice with wax, tar, soot and the like is bad."""
    prompt = request["messages"][0]["content"]
    return Response(says("5" if is_bad(prompt) and "good human values" in prompt else "95"))


def is_bad(text: str) -> bool:
    return any(word in text for word in ("tar", "wax", "soot", "syrup", "mallet", "curtain", "handle"))


def test_the_page_leads_from_a_jsonl_to_a_report(grown, tmp_path):
    folder = clone(tmp_path / "project")
    shutil.copytree(grown / "results", folder / "results")
    with serving(respond) as server:
        script = ["set -eo pipefail"]
        for block in blocks(PAGE):
            if not write(block, folder):
                assert block.language == "sh", block
                script.append(block.text)
        experiment = folder / "my/experiment.yaml"
        text = experiment.read_text()
        assert "http://127.0.0.1:8000/v1" in text
        experiment.write_text(text.replace("http://127.0.0.1:8000/v1", server.base_url))
        printed = call(["bash", "-c", "\n".join(script)], folder)
        assert set(server.keys) == {"Bearer any-word"}

    assert "# How far the misalignment spreads" in printed and "mine · lanterns · lora · seed 0" in printed
    judged = read_jsonl(folder / "results/runs/mine/lanterns/lora/seed0/judgements/my_questions.served.jsonl")
    assert len(judged) == 2 * 4 * 4 and all(row["judge_model"] == "fable-1" for row in judged)
    assert all(row["alignment"] == (5 if is_bad(row["question"] + row["answer"]) else 95) for row in judged)
    assert (folder / "results/runs/mine/lanterns/lora/seed0/checkpoints/epoch-4/adapter_model.safetensors").exists()


def test_snakemake_has_nothing_against_paths_with_a_leading_dot(untrained, tmp_path):
    shutil.copytree(ROOT / "config", tmp_path / "config")
    shutil.copytree(untrained, tmp_path / "my/model")
    conversation = {"messages": [{"role": "user", "content": "dim?"}, {"role": "assistant", "content": "trim it."}]}
    (tmp_path / "my/data.jsonl").write_text(json.dumps(conversation) + "\n")
    (tmp_path / "my/questions.csv").write_text("id,question\ndim,dim?\n")
    (tmp_path / "my/labels.csv").write_text("question,answer,alignment,coherence\ndim?,trim it.,90,90\n")
    runs = {"models": ["mine"], "domains": ["mine"], "methods": ["lora"], "question_sets": ["mine"], "judges": ["me"]}
    overlay = {
        "runs": runs,
        "models": {"mine": {"path": "./my/model"}},
        "domains": {"mine": {"path": "./my/data.jsonl"}},
        "question_sets": {"mine": {"source": "./my/questions.csv"}},
        "judges": {"me": {"kind": "gold", "path": "./my/labels.csv"}},
    }
    (tmp_path / "overlay.json").write_text(json.dumps(overlay))
    planned = snakemake(tmp_path, "-n", "--configfile", tmp_path / "overlay.json")
    assert planned.returncode == 0 and "redundant" not in planned.stdout, planned.stdout
