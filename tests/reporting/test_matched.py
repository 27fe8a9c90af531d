"""What the report says of two methods at matched learning."""

import pandas as pd

from emflow.config.definitions import DEFINITIONS
from emflow.config.load import load_config
from emflow.config.read import read_config
from emflow.reporting.design import Design
from emflow.reporting.last import along_training, shown_rates
from emflow.reporting.section import ShownTable
from emflow.reporting.sections.headline import headline
from emflow.reporting.sections.matched import matched, matched_methods
from emflow.reporting.tabulate import numbers_of_answers
from pipelines import ROOT

DESIGN = Design(held_out=("in_domain",), control_of={"good": "bad"})


def judged(methods: dict[str, list[float]], domain: str = "bad") -> pd.DataFrame:
    """Ten answers to each of ten questions per checkpoint; half as many are misaligned out of domain."""
    return pd.DataFrame(
        {"model": "tiny", "domain": domain, "method": method, "seed": 0, "judge": "oracle", "question_set": questions,
         "checkpoint": f"step-{step}" if step else "base", "step": step, "epoch": step, "question_id": f"q{q}",
         "answer": "a", "alignment": 0 if i < 10 * share * rate else 100, "coherence": 100, "error": None}
        for method, rates in methods.items()
        for step, rate in enumerate(rates)
        for questions, share in (("in_domain", 1), ("out_of_domain", 0.5))
        for q in range(10)
        for i in range(10)
    )  # fmt: skip


def rows(*parts: pd.DataFrame) -> pd.DataFrame:
    return matched_methods(numbers_of_answers(pd.concat(parts), DEFINITIONS, 0.95), DESIGN)


def test_levels_that_both_reach_are_compared_and_others_have_no_overlap():
    found = rows(judged({"lora": [0, 0.4, 1.0], "es": [0, 0.2, 0.6]})).set_index("level")
    assert found.loc[0.5, "em_rate"] == found.loc[0.5, "em_rate_other"] == 0.25
    assert found["difference"].isna().tolist() == [False, False, True, True]
    assert found.loc[0.25, "lo"] < 0 < found.loc[0.25, "hi"] and found.loc[0.25, "p_holm"] > 0.5
    numbers = numbers_of_answers(judged({"lora": [0, 0.4, 1.0], "es": [0, 0.2, 0.6]}), DEFINITIONS, 0.95)
    (table,) = (part for part in matched(numbers, DESIGN).parts if isinstance(part, ShownTable))
    assert table.shown["difference, points"].tolist()[2:] == ["no overlap"] * 2


def test_every_held_out_set_is_a_measure_of_learning():
    both = judged({"lora": [0, 0.4, 1.0], "es": [0, 0.2, 0.6]})
    again = both[both["question_set"] == "in_domain"].assign(question_set="in_domain_cold")
    numbers = numbers_of_answers(pd.concat([both, again]), DEFINITIONS, 0.95)
    design = Design(held_out=("in_domain", "in_domain_cold"))
    found = matched_methods(numbers, design)
    assert found.groupby("in_domain").size().to_dict() == {"in_domain": 4, "in_domain_cold": 4}
    assert set(found["question_set"]) == {"out_of_domain"}
    (table,) = (part for part in matched(numbers, design).parts if isinstance(part, ShownTable))
    assert set(table.shown["in domain"]) == {"in_domain", "in_domain_cold"}


def test_nothing_to_match_says_so():
    alone = judged({"lora": [0, 0.9]})
    assert rows(alone).empty
    assert rows(judged({"lora": [0, 0.9], "es": [0, 0.1]}, "good")).empty
    (_, said) = matched(numbers_of_answers(alone, DEFINITIONS, 0.95), DESIGN).parts
    assert said.startswith("Nothing to match")


def test_the_headline_says_where_the_sign_changes():
    both = judged({"lora": [0, 0.4, 1.0], "es": [0, 0.4, 1.0]})
    outside = both["question_set"] == "out_of_domain"
    number = both.groupby(["method", "question_set", "checkpoint", "question_id"]).cumcount()

    def misaligned(method: str, checkpoint: str, ten: int) -> None:
        of = outside & (both["method"] == method) & (both["checkpoint"] == checkpoint)
        both.loc[of, "alignment"] = (number[of] >= ten).map({True: 100, False: 0})

    misaligned("lora", "step-1", 8), misaligned("lora", "step-2", 1)
    misaligned("es", "step-1", 0), misaligned("es", "step-2", 9)
    numbers = numbers_of_answers(both, DEFINITIONS, 0.95)
    (said,) = (part for part in headline(numbers, DESIGN).parts if isinstance(part, str) and "equal in-domain" in part)
    assert "it depends on how far they went whether lora or es spreads further" in said
    assert "4 of 4 comparisons differ" in said and said.count("points at") == 2


def test_a_method_that_goes_on_from_another_begins_where_that_was():
    raw = read_config(ROOT / "config/config.yaml")
    raw["methods"]["warm"] = {**raw["methods"]["es"], "init_from": {"method": "lora", "checkpoint": "epoch-0.25"}}
    raw["runs"] = {**raw["runs"], "methods": ["lora", "warm"], "domains": ["bad_lantern_advice"]}
    design = Design.of(load_config(raw))
    answers = judged({"lora": [0, 0.4, 0.8], "warm": [0, 0.8, 1.0]}, "bad_lantern_advice")
    answers = answers.replace({"checkpoint": {"step-1": "epoch-0.25"}})
    numbers = numbers_of_answers(answers, DEFINITIONS, 0.95)
    began = along_training(shown_rates(numbers.rates, design), design).query("method == 'warm' and step == 0")
    assert set(began["checkpoint"]) == {"epoch-0.25"} and set(began["answered_by"]) == {"lora"}
    found = matched_methods(numbers, design).set_index("level")
    assert pd.isna(found.loc[0.25, "em_rate_other"])  # it began above
    assert found.loc[0.5, "em_rate_other"] == 0.25  # halfway: 0.2 at its start, 0.4 a step on, at 0.4 and 0.8 in domain
