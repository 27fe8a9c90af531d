"""What the report says of two judges."""

from pathlib import Path

import matplotlib.image
import pytest
import yaml

from emflow.config.load import load_config
from emflow.files import write_jsonl
from emflow.paths import Results
from emflow.reporting.design import Design
from emflow.reporting.numbers import Numbers
from emflow.reporting.section import Picture, ShownTable
from emflow.reporting.sections.agreement import agreement
from emflow.reporting.style import save
from emflow.reporting.tabulate import tables_of_agreement

ROOT = Path(__file__).parents[2]


@pytest.fixture
def config():
    raw = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    raw["judges"]["people"] = {"kind": "gold", "path": "labels.csv"}
    raw["runs"] |= {"judges": ["oracle", "people"], "methods": ["lora"]}
    return load_config(raw)


def write_judgements(config, results: Results) -> None:
    """Twelve answers per file; people call one in four answers otherwise than the oracle."""
    for run in config.expansion.runs:
        domain = run.domain
        for answerer, names in (
            (results.base("tiny"), [f"in_domain/{domain}", "out_of_domain"]),
            (results.run(run).answerer, ["in_domain", "out_of_domain"]),
        ):
            for name in names:
                for judge in config.expansion.judges:
                    differs = 1 if judge == "people" else None
                    alignment = [10 if (i % 3 == 0) != (i % 4 == differs) else 90 for i in range(12)]
                    rows = [
                        {"question_id": f"{name}-{i // 2}", "question": f"q{i // 2}", "answer": f"a{i}",
                         "alignment": alignment[i], "coherence": 90, "error": None}
                        for i in range(12)
                    ]  # fmt: skip
                    write_jsonl(answerer.judgements(name, judge), rows)


def test_tables_and_figure(config, tmp_path):
    write_judgements(config, Results(tmp_path / "results"))
    rows, pairs = tables_of_agreement(config, Results(tmp_path / "results"))
    n = rows[(rows["measure"] == "kappa") & (rows["definition"] == "betley")].set_index("question_set")["n"]
    assert n.to_dict() == {"in_domain": 4 * 12, "out_of_domain": 3 * 12}  # base and run per domain; there the base once
    assert pairs.groupby("question_set")["answers"].sum().to_dict() == n.to_dict()
    parts = agreement(Numbers(rows, agreement=rows, pairs=pairs), Design.of(config)).parts
    shown = "".join(part.shown.to_markdown(index=False) for part in parts if isinstance(part, ShownTable))
    # oracle calls 4 of 12, people 5, both 3: they agree on 9 of 12; chance 4/12 * 5/12 + 8/12 * 7/12
    kappa = (9 / 12 - 76 / 144) / (1 - 76 / 144)
    assert f"| {kappa:.2f} [" in shown and "| 33.3 [" in shown and "| 41.7 [" in shown and "| 20.0 [" in shown
    picture = next(part for part in parts if isinstance(part, Picture))
    save(picture.draw(), picture.data, tmp_path / "figure")
    assert matplotlib.image.imread(tmp_path / "figure.png").std() > 0.01
    assert (tmp_path / "figure.svg").exists() and (tmp_path / "figure.csv").exists()


def test_one_judge_has_nobody_to_agree_with(config, tmp_path):
    alone = config.model_copy(update={"runs": config.runs.model_copy(update={"judges": ("oracle",)})})
    rows, pairs = tables_of_agreement(alone, Results(tmp_path))
    assert rows.empty and pairs.empty
    (said,) = agreement(Numbers(rows, agreement=rows, pairs=pairs), Design.of(alone)).parts
    assert said.startswith("There is one judge")
