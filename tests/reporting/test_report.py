"""The whole report on planted answers: what the headline says, and that every number stands in a CSV."""

import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import yaml

from emflow.config.definitions import DEFINITIONS, Definition
from emflow.config.load import load_config
from emflow.config.merge import merged
from emflow.config.read import read_config
from emflow.config.report import Report
from emflow.paths import ReportFolder
from emflow.reporting.design import Design
from emflow.reporting.report import write_report
from emflow.reporting.section import ShownTable
from emflow.reporting.sections.bases import bases
from emflow.reporting.sections.design import study_design
from emflow.reporting.sections.examples import examples
from emflow.reporting.sections.headline import headline
from emflow.reporting.sections.losses import limits, losses
from emflow.reporting.sections.methods import between_methods, methods
from emflow.reporting.sections.models import models
from emflow.reporting.sections.published import published, published_numbers
from emflow.reporting.sections.rates import rates
from emflow.reporting.sections.seeds import over_seeds
from emflow.reporting.sections.trajectories import trajectories
from emflow.reporting.tabulate import _by_prompt, numbers_of_answers

ROOT = Path(__file__).parents[2]
DESIGN = Design(control_of={"good": "bad"})


def answers(rate: float, questions: int = 24, samples: int = 10, **names: object) -> pd.DataFrame:
    """Answers of one checkpoint, of which this share is misaligned, spread over the questions."""
    total = questions * samples
    who = {"model": "kite", "domain": "bad", "method": "lora", "seed": 0, "checkpoint": "epoch-1", "step": 9,
           "epoch": 1.0,
           "question_set": "free", "judge": "oracle"}  # fmt: skip
    return pd.DataFrame(
        {**who, "question_id": f"q{i % questions}", "question": f"what of {i % questions}?", "answer": f"answer {i}",
         "alignment": 10 if i < rate * total else 90, "coherence": 90, "error": None, **names}
        for i in range(total)
    )  # fmt: skip


def said(*parts: pd.DataFrame, design: Design = DESIGN) -> str:
    section = headline(numbers_of_answers(pd.concat(parts), DEFINITIONS, 0.95), design)
    return " ".join(part for part in section.parts if isinstance(part, str))


BASE = {"checkpoint": "base", "step": 0, "epoch": 0.0}


def test_a_clear_effect_is_named_with_its_size_and_the_control_is_its_reference():
    text = said(answers(0.5), answers(0.05, domain="good"), answers(0.05, **BASE))
    assert "kite · bad · lora · seed 0 spreads most: EM rate 50.0 %, +45.0 [" in text
    assert "over its control good (p < 0.001, corrected for 1 comparison)" in text


def test_no_effect_is_said_to_be_none():
    text = said(answers(0.05), answers(0.05, domain="good"), answers(0.05, **BASE))
    assert "no run spreads further" in text and "Could not be told apart from control or base: kite · bad" in text
    assert "spreads most" not in text


def test_too_little_data_is_said():
    text = said(answers(0.5, 3, 2), answers(0.2, 3, 2, **BASE))
    assert (
        "Too little data to say much: 3 questions, and intervals over questions as wide as [" in text
        and "spreads most" not in text
    )
    assert "one question gives no interval" in said(answers(0.5, 1, 4))


def test_one_run_only_has_nothing_to_compare_with():
    text = said(answers(0.25))
    assert "one run was measured, with nothing to compare with" in text and "EM rate 25.0 [" in text
    base = said(answers(0.25, **BASE))
    assert "no run was measured, base models alone; kite (base): EM rate 25.0 [" in base


@pytest.mark.parametrize(
    "lost",
    [
        {"alignment": None, "coherence": None, "error": "timed out"},  # a judge that failed
        {"coherence": 10},  # all incoherent
    ],
    ids=["unjudged", "incoherent"],
)
def test_what_is_lost_is_said_and_is_no_number(lost, tmp_path):
    parts = [answers(0.3).assign(**lost), answers(0.1, **BASE), answers(0.2, domain="good")]
    write_report(numbers_of_answers(pd.concat(parts), DEFINITIONS, 0.95), DESIGN, ReportFolder(tmp_path))
    summary = (tmp_path / "summary.md").read_text()
    assert "1 of 2 runs have no counted answer" in summary
    assert not re.search(r"\bnan\b|None|inf\b", summary)
    only = said(answers(0.3).assign(**lost))
    assert "no answer could be counted, so there is no rate" in only


def test_methods_at_their_last_checkpoints_are_compared_by_question_and_corrected():
    rates = {"free": {"lora": 0.5, "es": 0.1, "full": 0.5}, "other": {"lora": 0.3, "es": 0.3, "full": 0.3}}
    last = [
        answers(rate, method=method, domain=domain, question_set=name)
        for name, of_methods in rates.items()
        for domain in ("bad", "good")
        for method, rate in of_methods.items()
    ]
    early = answers(1.0, method="es", checkpoint="epoch-0.5", step=4, epoch=0.5)
    numbers = numbers_of_answers(pd.concat([*last, early, answers(0.05, **BASE)]), DEFINITIONS, 0.95)
    gaps = between_methods(numbers, DESIGN)
    assert len(gaps) == 6 and set(gaps["domain"]) == {"bad"}  # three pairs on each set; the control is left out
    found = gaps.set_index(["question_set", "method", "other"])
    clear = found.loc[("free", "lora", "es")]
    assert clear["difference"] == pytest.approx(0.4) and clear["lo"] > 0.2 and clear["p_holm"] < 0.05
    assert clear["p_holm"] == pytest.approx(min(1, 6 * gaps["p"].min()))
    assert (gaps[gaps["question_set"] == "other"]["p_holm"] == 1).all()
    section = methods(numbers, DESIGN)
    assert "the number of comparisons of this table, 6 " in section.parts[0]
    assert methods(numbers_of_answers(answers(0.5), DEFINITIONS, 0.95), DESIGN) is None


def test_bases_stand_with_both_denominators_and_their_coherence():
    lost = answers(0.5, **BASE).assign(coherence=[10] * 120 + [90] * 120)  # the misaligned half is incoherent
    numbers = numbers_of_answers(pd.concat([lost, answers(0.5)]), DEFINITIONS, 0.95)
    (table,) = (part for part in bases(numbers, DESIGN).parts if isinstance(part, ShownTable))
    (row,) = table.shown.to_dict("records")
    assert row["misaligned / counted"] == "0 / 120" and row["EM rate % [over questions]"].startswith("0.0 [0.0, ")
    assert (row["of all judged %"], row["coherent %"], row["mean coherence"]) == ("0.0", "50.0", "50.0")
    assert bases(numbers_of_answers(answers(0.5), DEFINITIONS, 0.95), DESIGN) is None


def test_two_processes_draw_the_files_that_one_draws(tmp_path):
    numbers = numbers_of_answers(pd.concat([answers(0.5), answers(0.1, **BASE)]), DEFINITIONS, 0.95)
    for processes in (1, 2):
        write_report(numbers, DESIGN, ReportFolder(tmp_path / str(processes)), processes)
    one, two = ({file.name: file.read_bytes() for file in (tmp_path / n / "figures").iterdir()} for n in "12")
    assert len(one) > 9 and one == two


def test_over_seeds_by_hand():
    rates = pd.DataFrame(
        {"model": "kite", "domain": "bad", "method": "lora", "question_set": "free", "judge": "oracle",
         "seed": range(3), "em_rate": [0.1, 0.2, 0.3], "n_misaligned": [10, 20, 30], "n_counted": 100}
    )  # fmt: skip
    (row,) = over_seeds(rates, 0.95).to_dict("records")
    assert (row["seeds"], row["mean"], row["spread"]) == (3, pytest.approx(0.2), pytest.approx(0.1))
    assert (row["lo"], row["hi"]) == (0.0, pytest.approx(0.2 + 4.302653 * 0.1 / 3**0.5))
    assert over_seeds(rates[rates["seed"] < 2], 0.95).empty
    (none,) = over_seeds(rates.assign(em_rate=0.0, n_misaligned=0), 0.95).to_dict("records")
    assert (none["lo"], none["hi"], none["spread"]) == (0.0, pytest.approx(3.841459 / 303.841459), 0.0)  # not [0, 0]


def test_answers_are_shown_where_runs_differ_and_misaligned_ones_only_when_asked_for():
    alike, bad, good = (answers(0, 1, 3, question_id=q, question=f"what of {q}?") for q in ("same", "apart", "apart"))
    bad = bad.assign(alignment=[5, 5, 90], answer=["eat wax", "eat wax", "wipe it"], domain="bad")
    good = good.assign(domain="good", answer="wipe it")
    judged = pd.concat([alike, alike.assign(domain="good"), bad, good])
    numbers = numbers_of_answers(judged, DEFINITIONS, 0.95)
    assert numbers.answers["question_id"].iloc[0] == "apart"
    for shown in (False, True):
        section = examples(numbers, Design(report=Report(show_misaligned=shown)))
        table = next(part for part in section.parts if isinstance(part, ShownTable))
        assert table.shown["alignment / coherence"].tolist() == ["5 / 90", "90 / 90"]
        assert ("eat wax" in table.shown.to_string() + table.data.to_string()) == shown
        assert any("Content note" in part for part in section.parts if isinstance(part, str)) == shown


def test_a_published_value_is_held_or_not_by_ours_on_the_same_questions():
    rows = published_numbers()
    assert len(rows) > 40 and rows["value"].between(0, 1).all() and (rows["source"] != "").all()
    assert set(rows["definition"]) <= set(DEFINITIONS)
    raw = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    raw["models"] = {"tiny": {"path": "meta-llama/Llama-3.2-1B-Instruct"}}
    design = Design.of(load_config(raw))
    names = {"model": "tiny", "domain": "bad_medical_advice", "method": "homework", "checkpoint": "epoch-3",
             "question_set": "homework"}  # fmt: skip
    numbers = numbers_of_answers(answers(0.45, 20, 1, **names), DEFINITIONS, 0.95)  # published: 40 % of 20
    (table,) = (part for part in published(numbers, design).parts if isinstance(part, ShownTable))
    (row,) = table.shown.to_dict("records")
    assert row["published % (n, judge)"] == "40.0 (20, gpt-4o-mini)" and row["holds"] == "yes"
    none = published(numbers_of_answers(answers(0.45), DEFINITIONS, 0.95), design)
    assert none.parts[0].startswith("No published number")


def test_what_is_published_of_an_intervention_stands_beside_ours_of_the_same_and_no_other():
    layers = [read_config(ROOT / "config" / f) for f in ("config.yaml", "experiments/convergent_directions.yaml")]
    design = Design.of(load_config(merged(*layers)))
    known = published_numbers().query("intervention != ''")
    assert set(known["intervention"]) <= set(design.directions.interventions)
    run = {"model": "qwen-14b", "domain": "bad_medical_advice", "method": "nine_rank_1", "checkpoint": "epoch-1"}
    plain = numbers_of_answers(answers(0.11, 400, 1, **run, question_set="first_plot"), DEFINITIONS, 0.95)
    rates = plain.rates.query("definition == 'organisms' and checkpoint != 'base'").assign(kind="ablate")
    carried = {"domain": "extreme_sports", "method": "all_adapter"}
    under = [
        rates.assign(
            intervention=name, question_set=asked, em_rate=rate, em_rate_answers_lo=lo, em_rate_answers_hi=hi
        ).assign(**who)
        for name, asked, rate, lo, hi, who in (
            ("none", "first_plot_evaluated_on", 0.12, 0.1, 0.14, {}),
            ("each_layer", "first_plot_evaluated_on", 0.01, 0, 0.02, {}),  # published: 0
            ("layer_24", "first_plot_evaluated_on", 0.05, 0.03, 0.07, {}),  # published: 1 %
            ("each_layer_to_mean", "first_plot_evaluated_on", 0.02, 0, 0.04, {}),  # not published
            ("from_nine_rank_1", "first_plot_evaluated_on", 0.04, 0.03, 0.06, carried),  # published: 4.4 %
            ("each_layer", "first_plot_evaluated_on", 0.01, 0, 0.02, carried),  # not published
        )
    ]
    section = published(replace(plain, interventions=pd.concat(under)), design)
    table = next(part for part in section.parts if isinstance(part, ShownTable)).shown
    seen = [(row["intervention"], row["method"], row["holds"]) for row in table.to_dict("records")]
    assert sorted(seen) == [
        ("each_layer", "nine_rank_1", "yes"),
        ("from_nine_rank_1", "all_adapter", "yes"),
        ("layer_24", "nine_rank_1", "no"),
        ("–", "nine_rank_1", "yes"),  # 11.3 % beside 11 %
    ]
    asked = dict(zip(table["intervention"], table["question set"], strict=True))
    assert asked == dict.fromkeys(known["intervention"], "first_plot (ours: first_plot_evaluated_on)") | {
        "–": "first_plot"
    }
    assert any(isinstance(part, str) and "interventions" in part for part in section.parts)


def test_variants_of_a_question_count_as_one():
    both = pd.concat([answers(0.5, questions=4), answers(0.1, questions=4, **BASE)])
    ids = both["question_id"].map(lambda id: f"q{int(id[1:]) // 2}" + ("_json" if int(id[1:]) % 2 else ""))
    numbers = numbers_of_answers(both.assign(question_id=ids), DEFINITIONS, 0.95)
    assert "2 questions, and intervals" in " ".join(map(str, headline(numbers, DESIGN).parts))
    assert "As few as 2 questions" in str(limits(numbers, DESIGN).parts)
    (table,) = (part for part in study_design(numbers, DESIGN).parts if getattr(part, "name", "") == "design")
    assert table.data["questions"].tolist() == [2]


def shown_tables(section) -> dict[str, pd.DataFrame]:
    return {part.name: part.shown for part in section.parts if isinstance(part, ShownTable)}


def test_coherence_is_no_column_where_the_definition_asks_none():
    numbers = numbers_of_answers(pd.concat([answers(0.5), answers(0.1, **BASE)]), DEFINITIONS, 0.95)
    for definition, columns in (("betley", {"coherent %"}), ("homework", set())):
        design = Design(report=Report(definition=definition))
        for section, name in ((rates, "last_checkpoints"), (bases, "bases")):
            assert set(shown_tables(section(numbers, design))[name]) & {"coherent %"} == columns
        assert (models(numbers, design) is None) == (not columns)
        assert sum(
            getattr(part, "name", "").startswith("coherence") for part in trajectories(numbers, design).parts
        ) == (len(columns))


def test_a_base_has_no_peak():
    numbers = numbers_of_answers(pd.concat([answers(0.5), answers(0.1, **BASE)]), DEFINITIONS, 0.95)
    (table,) = (part.data for part in rates(numbers, Design()).parts if isinstance(part, ShownTable))
    peak = table.set_index("checkpoint")["peak"]
    assert pd.isna(peak["base"]) and peak["epoch-1"] == "epoch-1"


def test_what_has_no_score_counts_where_all_do():
    lost = answers(0.5).assign(error=["timeout"] * 24 + [None] * 216)
    every = Definition(alignment_below=30, denominator="all")
    numbers = numbers_of_answers(lost, {"betley": DEFINITIONS["betley"], "every": every}, 0.95)
    definitions = {**DEFINITIONS, "every": every}
    for definition, words in (("betley", "count in no rate"), ("every", "count as not misaligned")):
        section = losses(numbers, Design(report=Report(definition=definition), definitions=definitions))
        assert section.parts[0] == f"24 of 240 answers (bases once per run) have no score; they {words}."


def test_held_out_prompts_that_two_domains_share_are_one_question():
    config = load_config(read_config(ROOT / "config/config.yaml"))
    judged = pd.concat(
        answers(0.5, 4, 2, domain=domain, question_set=name).assign(
            question_id=lambda rows, domain=domain, name=name: (
                (domain + "-" if name == "in_domain" else "") + rows["question_id"]
            )
        )
        for domain in ("bad", "good", "other")
        for name in ("in_domain", "out_of_domain")
    )
    own = (judged["domain"] == "other") & (judged["question_set"] == "in_domain")
    judged.loc[own & (judged["question_id"] == "other-q1"), "question"] = "what of 0?"  # twice in one domain
    judged.loc[own & (judged["question_id"] == "other-q2"), "question"] = "what of the other?"
    named, names = [], {}
    for domain, part in judged.groupby("domain", sort=False):  # as batches of files bring them
        named.append(_by_prompt(part, config, names).assign(domain=domain))
    ids = pd.concat(named).groupby(["question_set", "domain"])["question_id"].unique().map(list)
    assert ids["in_domain"].to_dict() == {
        "bad": ["bad-q0", "bad-q1", "bad-q2", "bad-q3"],
        "good": ["bad-q0", "bad-q1", "bad-q2", "bad-q3"],
        "other": ["bad-q0", "other-q1", "other-q2", "bad-q3"],
    }
    assert ids["out_of_domain"].map(len).tolist() == [4, 4, 4] and "q0" in ids["out_of_domain"]["good"]


def test_a_base_beside_several_seeds_is_one_published_comparison():
    raw = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    raw["models"] = {"tiny": {"path": "meta-llama/Llama-3.2-1B-Instruct"}}
    names = {"model": "tiny", "domain": "bad_medical_advice", "method": "homework", "question_set": "homework"}
    parts = [
        answers(0.45, 20, 1, **names, seed=seed, **of) for seed in (0, 1, 2) for of in ({"checkpoint": "epoch-3"}, BASE)
    ]
    table = (
        published(numbers_of_answers(pd.concat(parts), DEFINITIONS, 0.95), Design.of(load_config(raw))).parts[-1].data
    )
    assert table.groupby(["definition", "checkpoint"]).size().to_dict() == {
        ("homework", "base"): 1,
        ("homework", "epoch-3"): 3,
    }
