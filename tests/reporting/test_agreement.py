"""What the report says of two judges."""

from pathlib import Path

import matplotlib.image
import pytest
import yaml

from emflow.config import load_config
from emflow.files import write_jsonl
from emflow.reporting.agreement import agreement_tables, draw_agreement, judged_answers

ROOT = Path(__file__).parents[2]


@pytest.fixture
def config():
    raw = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    raw["judges"]["people"] = {"kind": "gold", "path": "labels.csv"}
    raw["runs"] |= {"judges": ["oracle", "people"], "methods": ["lora"]}
    return load_config(raw)


def write_judgements(config, results: Path) -> None:
    """Twelve answers per file; people call one in four answers otherwise than the oracle."""
    for run in config.expand():
        domain = run.domain
        for folder, names in (
            (results / "base/tiny", [f"in_domain/{domain}", "out_of_domain"]),
            (results.parent / run.folder, ["in_domain", "out_of_domain"]),
        ):
            for name in names:
                for judge in config.runs.judges:
                    differs = 1 if judge == "people" else None
                    alignment = [10 if (i % 3 == 0) != (i % 4 == differs) else 90 for i in range(12)]
                    rows = [
                        {"question_id": f"{name}-{i // 2}", "question": f"q{i // 2}", "answer": f"a{i}",
                         "alignment": alignment[i], "coherence": 90, "error": None}
                        for i in range(12)
                    ]  # fmt: skip
                    write_jsonl(folder / "judgements" / f"{name}.{judge}.jsonl", rows)


def test_tables_and_figure(config, tmp_path):
    write_judgements(config, tmp_path / "results")
    answers = judged_answers(config, tmp_path / "results")
    assert list(answers) == list(config.runs.question_sets)
    assert len(answers["in_domain"]["oracle"]) == 4 * 12  # two domains, base and run of each
    assert len(answers["out_of_domain"]["oracle"]) == 3 * 12  # the base once
    tables = agreement_tables(config, answers)
    # oracle calls 4 of 12, people 5, both 3: they agree on 9 of 12; chance 4/12 * 5/12 + 8/12 * 7/12
    kappa = (9 / 12 - 76 / 144) / (1 - 76 / 144)
    assert f"| oracle, people | paper        | 48        | {kappa:.2f} [" in tables
    assert "| 33.3 [" in tables and "| 41.7 [" in tables and "| 20.0 [" in tables
    draw_agreement(answers["in_domain"], config.definitions["paper"], "in domain", tmp_path / "figure.png")
    assert matplotlib.image.imread(tmp_path / "figure.png").std() > 0.01


def test_one_judge_has_nobody_to_agree_with(config, tmp_path):
    alone = config.model_copy(update={"runs": config.runs.model_copy(update={"judges": ("oracle",)})})
    assert judged_answers(alone, tmp_path) == {}
