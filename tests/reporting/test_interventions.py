"""What the report says of interventions and directions."""

import pandas as pd
import pytest

from emflow.config.load import load_config
from emflow.config.merge import merged
from emflow.config.read import read_config
from emflow.paths import ReportFolder
from emflow.reporting.design import Design
from emflow.reporting.numbers import RUN, Numbers
from emflow.reporting.report import write_report
from emflow.reporting.section import ShownTable
from emflow.reporting.sections.interventions import interventions, taken_away
from emflow.reporting.sections.projections import projections
from emflow.reporting.sections.steering import steering
from pipelines import ROOT

SOURCES = {method: f"tiny/bad_lantern_advice/{method}/0" for method in ("lora", "es")}


@pytest.fixture(scope="module")
def design() -> Design:
    names = ("config.yaml", "experiments/tiny_directions.yaml")
    return Design.of(load_config(merged(*(read_config(ROOT / "config" / name) for name in names))))


def row(name: str, kind: str, misaligned: int, method: str | None = "lora", **more: object) -> dict:
    who = {"model": "tiny", "domain": "bad_lantern_advice", "method": method, "seed": 0, "checkpoint": "epoch-1"}
    if method is None:
        who |= {"domain": None, "seed": None, "checkpoint": "base"}
    counts = {"n": 100, "n_unjudged": 1, "n_counted": 80, "n_misaligned": misaligned, "coherent_share": 0.8}
    rate = misaligned / 80
    rates = {"em_rate": rate, "em_rate_lo": rate - 0.05, "em_rate_hi": rate + 0.05, "tokens_mean": 17.25}
    how = {"intervention": name, "kind": kind, "variant": "", "source": None, "direction": None, "layers": None,
           "coefficient": None}  # fmt: skip
    named = {"question_set": "evaluated_on", "judge": "oracle", "definition": "betley"}
    return {**who, **how, **counts, **rates, **named, **more}


@pytest.fixture(scope="module")
def numbers() -> Numbers:
    along = {"direction": "shift", "sites": "writes"}
    rows = [
        row("none", "none", 40),
        row("none", "none", 20, "es"),
        row("none", "none", 2, None),
        row("none", "none", 1, None, question_set="chosen_on"),
        row("shift_layers", "ablate", 8, source=SOURCES["lora"], **along),
        row("shift_layers", "ablate", 5, "es", source=SOURCES["es"], **along),
        row("shift_writes_to_zero", "ablate", 30, source=SOURCES["lora"], **along),
        row("from_lora", "ablate", 10, "es", source=SOURCES["lora"], **along),
        row("from_es", "ablate", 20, source=SOURCES["es"], **along),
        *(
            row("random_layers", "random", 37 + n, source=SOURCES["lora"], variant=f"random-{n}", sites="writes")
            for n in range(3)
        ),
        *(
            row("steer", "add", 10 * n, None, source=SOURCES["lora"], layers=layer, coefficient=n, question_set=name)
            for layer, n, name in (
                ("0", 1, "chosen_on"), ("0", 2, "chosen_on"), ("1", 2, "chosen_on"), ("0", 2, "evaluated_on")
            )
        ),
        *(
            row("steer", "random", n, None, source=SOURCES["lora"], layers="0", coefficient=2, variant=f"random-{n}")
            for n in range(2)
        ),
    ]  # fmt: skip
    pair = {"model": "tiny", "domain": "bad_lantern_advice", "method": "lora", "seed": 0, "layer": 0, "cosine": 0.9,
            "other_domain": "bad_lantern_advice", "other_method": "es", "other_seed": 0, "cosine_halves": 0.8,
            "reliability": float("nan"), "cosine_base_reading": 0.7}  # fmt: skip
    sites = ("embedding", "attention.0", "mlp.0", "block.0")
    cosines = [{**pair, "direction": kind, "site": site} for kind in ("contrast", "shift") for site in sites]
    projected = [
        {**{key: pair[key] for key in RUN}, "checkpoint": f"epoch-{n}", "direction": "shift", "layer": layer,
         "n_misaligned": 10 * n, "n_aligned": 50, "auc": 0.7 + layer / 10, "auc_within_questions": 0.55,
         "auc_base_reading": 0.6, "pairs_within_questions": 99, "shift": n + layer,
         "em_rate": n / 10, "coherent_share": 0.9}
        for n in (1, 2, 3) for layer in (0, 1)
    ]  # fmt: skip
    tables = {"interventions": rows, "directions": cosines, "projections": projected}
    return Numbers(pd.DataFrame(), **{name: pd.DataFrame(table) for name, table in tables.items()})


def table(section, name: str) -> ShownTable:
    return next(part for part in section.parts if isinstance(part, ShownTable) and part.name == name)


def test_each_intervention_has_a_row_per_answerer_and_random_ones_are_a_band(numbers, design):
    shown = table(interventions(numbers, design), "interventions").shown
    assert len(shown) == 3 + 5 + 1 + 2
    band, steered = shown[shown["kind"] == "random"].to_dict("records")
    assert steered["answers of"] == "tiny (base)" and steered["EM rate % [over questions]"] == "0.0 to 1.2"
    assert band["variant"] == "3 draws" and band["EM rate % [over questions]"] == "46.2 to 48.8"
    assert band["misaligned / counted"] == "114 / 240" and band["unjudged"] == "3" and band["tokens"] == "17.2 to 17.2"
    (ablated,) = shown[(shown["intervention"] == "from_es")].to_dict("records")
    assert ablated["EM rate % [over questions]"] == "25.0 [20.0, 30.0]" and ablated["misaligned / counted"] == "20 / 80"


def test_a_sentence_says_what_a_run_is_without_its_direction(numbers, design):
    lora, es = taken_away(numbers, design)
    for said in (
        "tiny · bad_lantern_advice · lora · seed 0 without its direction",
        "(shift_layers, the first of 2): EM rate 10.0 [5.0, 15.0] % (8 of 80; 80.0 % ",
        ", of 50.0 %; without a random direction 46.2 to 48.8 % (3 draws).",
    ):
        assert said in lora
    assert "es · seed 0 without its direction (shift_layers): EM rate 6.2 [1.2, 11.2] % (5 of 80; " in es
    assert es.endswith("coherent), of 25.0 %."), "no random direction was taken from it"


def test_directions_are_crossed_where_nothing_else_differs(numbers, design):
    crossed = table(interventions(numbers, design), "transfer").shown
    left = {(row["source"], row["target"]): row["of none's %"] for row in crossed.to_dict("records")}
    lora, es = SOURCES.values()
    assert left == {(lora, lora): "20", (es, lora): "50", (es, es): "25", (lora, es): "50"}
    assert len(crossed) == 4  # to zero is another ablation, and carried nowhere


def test_steering_starts_from_the_model_as_it_is_on_the_same_questions(numbers, design):
    (picture,) = steering(numbers, design).parts
    starts = picture.data[picture.data["coefficient"] == 0]
    assert list(starts["layers"]) == ["0", "1"] and set(starts["n_misaligned"]) == {1}
    assert len(picture.data) == 4 + 2 + 2


def test_projections_tell_answers_and_checkpoints_apart(numbers, design):
    (row,) = table(projections(numbers, design), "projections").shown.to_dict("records")
    assert (
        row["misaligned / aligned answers"] == "30 / 50"
        and row["AUC"] == "0.70 to 0.80"
        and row["AUC, the base reading"] == "0.60 to 0.60"
    )
    assert row["r of shift and EM"] == "1.00 to 1.00" and row["checkpoints"] == "3"


def test_they_stand_in_the_report_and_without_directions_nothing_does(numbers, design, tmp_path):
    from emflow.reporting import report as written

    names = (interventions, steering, written.directions, written.projections)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(written, "SECTIONS", names)
        write_report(numbers, design, ReportFolder(tmp_path))
    summary = (tmp_path / "summary.md").read_text()
    for name in ("interventions", "steering", "directions", "projections"):
        assert (tmp_path / f"figures/{name}.png").read_bytes().startswith(b"\x89PNG")
        assert f"(figures/{name}.csv)" in summary
    assert "| 0.90 to 0.90" in summary and "nan" not in summary.lower()
    assert [write(numbers, Design()) for write in names[:2]] == [None, None]
    assert [write(Numbers(pd.DataFrame()), design) for write in names] == [None] * 4
