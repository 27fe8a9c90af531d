"""`directions` fits the rest of the config, and chooses and evaluates on questions that have nothing in common."""

import pytest

from emflow.config.interventions import (
    evaluated_on,
    meet,
    rank_one_runs,
    runs_with_directions,
    tables_of_directions,
    targets,
)
from emflow.config.load import load_config
from emflow.config.merge import merged
from emflow.config.question_sets import QuestionSet
from emflow.config.read import read_config
from emflow.files import InputError
from pipelines import ROOT


@pytest.fixture(scope="module")
def raw() -> dict:
    return merged(
        *(read_config(ROOT / "config" / name) for name in ("config.yaml", "experiments/tiny_directions.yaml"))
    )


def said(raw, **directions) -> str:
    with pytest.raises(InputError) as error:
        load_config(merged(raw, {"directions": directions}))
    return str(error.value)


def test_who_answers_under_an_intervention_and_whose_direction_it_takes(raw):
    config = load_config(
        merged(raw, {"runs": {"seeds": [0, 1], "domains": ["bad_lantern_advice", "good_lantern_advice"]}})
    )
    study, directions = config.expansion, config.directions
    assert len(study.runs) == 12 and len(runs_with_directions(directions, study)) == 6
    (steered,) = targets(directions, study, directions.interventions["steer"])
    assert steered.run is None and steered.source == ("tiny", "bad_lantern_advice", "lora", 0)
    carried = targets(directions, study, directions.interventions["from_lora"])
    assert [(t.run.method, t.run.seed, t.source.method, t.source.seed) for t in carried] == [
        ("es", 0, "lora", 0), ("es", 1, "lora", 1),
    ]  # fmt: skip
    assert [t.source for t in targets(directions, study, directions.interventions["scaled"])] == [None, None]


def test_adapters_of_rank_1_are_changed_in_their_domain_too(raw):
    config = load_config(raw)
    directions, study = config.directions, config.expansion
    (run,) = rank_one_runs(directions, study, config.methods)
    assert run.method == "rank_one"

    def on(name, target=run):
        return evaluated_on(directions, directions.interventions[name], target, config.question_sets, config.methods)

    assert on("each_removed") == on("each_alone") == on("each_scaled") == ["evaluated_on", "in_domain"]
    lora = run._replace(method="lora")
    assert on("shift_writes") == on("without", lora) == on("steer", None) == ["evaluated_on"]
    assert rank_one_runs(directions.model_copy(update={"rank_one": None}), study, config.methods) == []


@pytest.mark.parametrize(
    ("directions", "line"),
    [
        ({"methods": ["lor"]}, "directions.methods names 'lor', which no run has; did you mean 'lora'?"),
        ({"choose_on": "evaluated_on"}, "have questions in common; set question_sets.NAME.part to [1, 2] for one"),
        ({"choose_on": "out_of_domain"}, "'out_of_domain' is not asked of tiny/bad_lantern_advice/lora/0 and judged"),
        ({"judge": "people"}, "is not asked of tiny/bad_lantern_advice/lora/0 and judged by 'people'"),
        ({"interventions": {"steer": {"source": {"seed": None}}}}, "steer.source: name domain, method and seed"),
        ({"interventions": {"from_es": {"source": {"method": "full"}}}}, "advice/full/0 is no run of directions"),
        ({"interventions": {"scaled": {"methods": ["es"]}}}, "scaled.methods: 'es' has no adapters; name methods of"),
        ({"interventions": {"scaled": {"methods": ["lo"]}}}, "scaled.methods: did you mean 'lora'?"),
        ({"rank_one": {"question_sets": ["in_domian"]}}, "rank_one.question_sets: 'in_domian' is not asked of tiny/"),
        ({"interventions": {"steer": {"layers": [-1]}}}, "steer.layers: decoder layers are counted from 0"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named_with_its_mend(raw, directions, line):
    assert line in said(raw, **directions)


def test_adapters_on_another_run_have_no_base_to_compare_with(raw):
    chained = {"lora": {"init_from": {"method": "es", "checkpoint": "iteration-180"}}}
    assert "adapters of 'lora' go onto another run" in said(merged(raw, {"methods": chained}))


def test_without_adapters_of_rank_1_there_is_nothing_to_read(raw):
    line = "rank_one: none of directions.methods is of kind lora and of rank: 1; leave it out"
    assert line in said(merged(raw, {"methods": {"rank_one": {"rank": 2}}}))


def test_held_out_prompts_are_no_set_to_choose_on_but_one_to_make_directions_from(raw):
    sets = {"runs": {"question_sets": ["in_domain", "evaluated_on"]}}
    refusal = "'in_domain' asks held-out prompts, and interventions.steer is chosen on it"
    assert refusal in said(merged(raw, sets), choose_on="in_domain")
    demo = merged(*(read_config(ROOT / "config" / name) for name in ("config.yaml", "experiments/demo.yaml")))
    assert load_config(demo).directions.choose_on == "in_domain"
    swapped = {"choose_on": "out_of_domain", "evaluate_on": "in_domain"}
    assert "evaluate_on: 'in_domain' asks held-out prompts; name" in said(demo, **swapped)


def test_one_run_is_compared_with_none(raw):
    demo = merged(*(read_config(ROOT / "config" / name) for name in ("config.yaml", "experiments/demo.yaml")))
    tables = {
        methods: tables_of_directions(config.directions, config.expansion)
        for methods in (("lora",), ("lora", "es"))
        for config in [load_config(merged(demo, {"directions": {"methods": list(methods)}}))]
    }
    assert tables == {("lora",): ["interventions"], ("lora", "es"): ["interventions", "directions"]}
    of_all = load_config(raw)
    every = ["interventions", "directions", "projections", "probes", "rank_one"]
    assert tables_of_directions(of_all.directions, of_all.expansion) == every
    assert tables_of_directions(None, of_all.expansion) == []


def test_sets_that_have_questions_in_common():
    def meeting(one, other):
        return meet(QuestionSet(source="a.csv", **one), QuestionSet(**{"source": "a.csv", **other}))

    assert meeting({}, {}) and meeting({"part": (1, 2)}, {"part": (1, 2)}) and meeting({"part": (1, 2)}, {})
    assert meeting({"part": (1, 2)}, {"part": (2, 3)}) and meeting({"ids": ("a", "b")}, {"ids": ("b",)})
    assert not meeting({"part": (1, 2)}, {"part": (2, 2)})
    assert not meeting({"ids": ("a",)}, {"ids": ("b",)})
    assert not meeting({}, {"source": "b.csv"})  # the job compares their texts


def test_a_part_is_one_of_n(raw):
    for part, line in (([3, 2], "part: [3, 2] is no part: k goes from 1 to n"), ([1, 1], "greater than 1")):
        with pytest.raises(InputError) as error:
            load_config(merged(raw, {"question_sets": {"chosen_on": {"part": part}}}))
        assert line in str(error.value)
