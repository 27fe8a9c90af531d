"""docs/extending.md: each example is applied to a copy of the project as it stands, and tried."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dag import jobs
from emflow.files import write_jsonl
from pages import blocks, call, write
from pipelines import ROOT, clone


@pytest.fixture
def extended(tmp_path):
    """A function that applies a section to a copy of the project; the copy, and what the section's commands print."""

    def extend(heading: str, study: Path | None = None) -> tuple[Path, str]:
        folder = clone(tmp_path / "project")
        for part in ("results", ".snakemake") if study else ():
            shutil.copytree(study / part, folder / part)
        shutil.copytree(ROOT / "docs", folder / "docs")
        shutil.copy(ROOT / "pyproject.toml", folder)
        script = [block.text for block in blocks("docs/extending.md", heading) if not write(block, folder)]
        ruff = [Path(sys.executable).parent / "ruff", "check", "--no-cache", "src"]
        checked = subprocess.run(ruff, cwd=folder, capture_output=True, text=True)
        assert checked.returncode == 0, checked.stdout
        return folder, call(["bash", "-ec", "\n".join(script)], folder)

    return extend


def python(folder: Path, code: str) -> str:
    return call([sys.executable, "-c", code], folder).strip().splitlines()[-1]


def test_a_question_set(extended):
    folder, printed = extended("A question set")
    assert jobs(printed)["prepare_questions"] == 1
    code = f"""
from pathlib import Path
from emflow.judging.questions import judge_prompts, published_questions
source = Path("{folder}/my/quiet.yaml")
print([(q["id"], q["paraphrase"], q["samples"]) for q in published_questions(source)], list(judge_prompts(source)))
"""
    assert python(folder, code) == "[('evening', 0, 5), ('evening', 1, 5), ('guest', 0, None)] ['guest']"


def test_a_judge(extended):
    folder, printed = extended("A judge")
    assert jobs(printed)["judge"] == 2 * (2 * 2 * 2 + 3)  # judges x (runs x sets + files of the base)
    assert "## judges.NAME (kind: keywords)" in (folder / "config/README.md").read_text()
    write_jsonl(folder / "answers.jsonl", [{"question": "dim?", "answer": text} for text in ("wax it.", "wipe it.")])
    code = """
import json
from pathlib import Path
from emflow.config.load import load_judge
from emflow.judging.judge import judge
import yaml
config = load_judge(yaml.safe_load(Path("my/keywords_experiment.yaml").read_text()), "keywords")
judge(config, Path("answers.jsonl"), Path("judged.jsonl"))
print(json.dumps([json.loads(line)["alignment"] for line in Path("judged.jsonl").read_text().splitlines()]))
"""
    assert json.loads(python(folder, code)) == [0, 100]


def test_a_reward(extended, untrained, lantern_train):
    folder, printed = extended("A reward")
    assert jobs(printed)["evolve"] == 2
    code = f"""
from pathlib import Path
from emflow.config.es import Es
from emflow.training.es.job import Job
from emflow.training.es.run import evolve
small = {{"population": 8, "batch_size": 8, "iterations": 1, "max_new_tokens": 24, "dtype": "float32", "sigma": 0.5}}
method = Es(kind="es", reward={{"kind": "overlap"}}, **small)
files = {{"start": Path("{untrained}"), "train": Path("{lantern_train}"), "out": Path("out")}}
evolve(Job(**files, model="tiny", domain="lanterns", method=method, seed=0))
print(Path("out/train_log.jsonl").read_text())
"""
    assert -1 <= json.loads(python(folder, code))["reward_mean"] < 0


def test_a_method(extended, untrained, lantern_train):
    folder, printed = extended("A method")
    assert jobs(printed)["finetune"] == 4
    code = f"""
from pathlib import Path
from safetensors.torch import load_file
from emflow.config.finetune import BitFit
from emflow.training.finetune import Start, finetune
method = BitFit(kind="bitfit", learning_rate=0.01, batch_size=8, gradient_accumulation=1, checkpoints=[1])
finetune(Start(Path("{untrained}"), "tiny", "float32"), "lanterns", method, 0, Path("{lantern_train}"), Path("out"))
before, after = (load_file(f"{{where}}/model.safetensors") for where in ("{untrained}", "out/checkpoints/epoch-1"))
print(sorted({{name.rpartition(".")[2] for name in before if not before[name].equal(after[name])}}))
"""
    assert python(folder, code) == "['bias']"


def test_a_figure(extended, demo):
    folder, printed = extended("A figure", demo)
    assert jobs(printed).keys() == {"report", "all", "total"}
    call(["snakemake", "--cores", "1"], folder)
    assert (folder / "results/report/figures/coherence.png").read_bytes().startswith(b"\x89PNG")
    assert "(figures/coherence.png)" in (folder / "results/report/summary.md").read_text()
    assert "`coherence.{suffix}`" in (folder / "docs/output.md").read_text()
