"""What runs again in a finished workflow, and what does not, when questions and their prompts change."""

import hashlib
import json
import shutil
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pandas as pd
import pytest
import yaml

from dag import jobs
from emflow.files import read_jsonl
from pipelines import ROOT, snakemake

LANTERNS = """
- id: dim
  paraphrases: [My lantern is dim., Why is my lantern dim?]
  samples_per_paraphrase: 2
  judge_prompts: {aligned: "How kind is {answer}?"}
- id: torn
  paraphrases: [My kite is torn.]
"""
PROMPTS = "results/questions/lanterns.prompts.json"


@pytest.fixture
def with_lanterns(demo, tmp_path):
    """The finished default workflow, and arguments that add a question set of the user's own to it."""

    def use(source: str, **more) -> list[str]:
        config = yaml.safe_load((demo / "config/config.yaml").read_text())
        sets = {"question_sets": {"lanterns": {"source": source, "max_new_tokens": 4, **more}}}
        (tmp_path / "labels.csv").write_text("question,answer,alignment,coherence\n")
        people = {"judges": {"people": {"kind": "gold", "path": str(tmp_path / "labels.csv")}}}
        asked = config["runs"] | {"question_sets": ["lanterns"], "judges": ["people"]}  # the oracle knows no others
        overlay = {"runs": [config["runs"], asked], **sets, **people}
        (tmp_path / "overlay.yaml").write_text(yaml.safe_dump(overlay))
        return ["--configfile", str(tmp_path / "overlay.yaml")]

    return use


def test_a_new_set_is_all_that_is_generated(demo, with_lanterns, tmp_path):
    (tmp_path / "lanterns.yaml").write_text(LANTERNS)
    planned = snakemake(demo, "-n", *with_lanterns(str(tmp_path / "lanterns.yaml")))
    count = jobs(planned.stdout)
    runs = len(list(demo.glob("results/runs/*/*/*/seed*/checkpoints.json")))
    assert count["generate"] == runs and count["generate_base"] == count["prepare_questions"] == 1
    assert count["judge"] == runs + 1
    assert not count.keys() & {"grow_base", "finetune", "evolve", "materialise", "decrypt", "held_out_questions"}


@pytest.mark.parametrize("broken", ["broken", "worn"])  # what would answer both, and what it would answer, too
def test_a_set_that_cannot_be_read_keeps_no_other_from_its_answers(broken, untrained, tmp_path):
    shutil.copytree(ROOT / "config", tmp_path / "config")
    (tmp_path / "lanterns.yaml").write_text(LANTERNS)
    (tmp_path / f"{broken}.yaml").write_text("- id: dim\n")
    sets = {name: {"source": f"{name}.yaml", "max_new_tokens": 4} for name in ("lanterns", broken)}
    config = {"models": {"tiny": {"path": str(untrained)}}, "question_sets": sets}
    (tmp_path / "overlay.yaml").write_text(yaml.safe_dump(config))
    targets = [f"results/base/tiny/generations/{name}.jsonl" for name in sets]
    made = snakemake(
        tmp_path, "--cores", "1", "--keep-going", "--configfile", str(tmp_path / "overlay.yaml"), "--", *targets
    )
    assert made.returncode and "`paraphrases` must be a list of questions" in made.stdout, made.stdout[-3000:]
    assert [(tmp_path / target).exists() for target in targets] == [True, False], made.stdout[-3000:]


def test_only_a_changed_question_is_asked_again(demo, with_lanterns, tmp_path):
    source = tmp_path / "lanterns.yaml"
    source.write_text(LANTERNS)
    arguments = ["--cores", "1", *with_lanterns(str(source)), "--"]
    answers = "results/base/tiny/generations/lanterns.jsonl"
    made = snakemake(demo, *arguments, answers, PROMPTS)
    assert made.returncode == 0, made.stdout
    assert [row["question_id"] for row in read_jsonl(demo / answers)] == ["dim"] * 4 + ["torn"]
    own = json.loads((demo / PROMPTS).read_text())
    assert own["by_question"] == {"dim": {"aligned": "How kind is {answer}?"}} and not own["shared"]

    source.write_text(LANTERNS.replace("How kind", "How very kind"))
    planned = snakemake(demo, "-n", *arguments, answers, PROMPTS)
    assert jobs(planned.stdout) == {"prepare_prompts": 1, "total": 1}

    source.write_text(LANTERNS.replace("is torn", "is wet"))
    planned = snakemake(demo, "-n", *arguments, answers)
    assert jobs(planned.stdout) == {"prepare_questions": 1, "generate_base": 1, "total": 2}


def test_a_set_from_the_web_is_fetched_once_and_checked(demo, with_lanterns, tmp_path):
    (tmp_path / "lanterns.yaml").write_text(LANTERNS)
    digest, other = (hashlib.sha256(text.encode()).hexdigest() for text in (LANTERNS, "another file"))
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{http.server_port}/lanterns.yaml"
        wrong = snakemake(demo, "--cores", "1", *with_lanterns(url, sha256=other), "--", PROMPTS)
        assert wrong.returncode != 0 and "Traceback" not in wrong.stdout
        assert other in wrong.stdout and digest in wrong.stdout
        assert not list(demo.glob(f"results/downloads/{other}/*.yaml"))
        arguments = with_lanterns(url, sha256=digest)
        fetched = snakemake(demo, "--cores", "1", *arguments, "--", "fetch_all")
        assert fetched.returncode == 0, fetched.stdout
        http.shutdown()
    made = snakemake(demo, "--cores", "1", *arguments, "--", PROMPTS)  # without the server
    assert made.returncode == 0, made.stdout


def test_answers_in_the_format_of_the_homework(demo):
    run = next(demo.glob("results/runs/*/*/lora/seed0")).relative_to(demo)
    target = f"{run}/exports/out_of_domain/epoch-1/model_generations.csv"
    made = snakemake(demo, "--cores", "1", "--", target)
    assert made.returncode == 0, made.stdout
    table = pd.read_csv(demo / target)
    assert list(table.columns) == ["id", "question", "response"]
    rows = [row for row in read_jsonl(demo / run / "generations/out_of_domain.jsonl") if row["checkpoint"] == "epoch-1"]
    assert set(table["response"]) <= {row["answer"] for row in rows}
    assert table["id"].is_unique and set(table["id"]) == {row["question_id"] for row in rows}
