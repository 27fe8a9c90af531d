"""`runs` as a list of blocks: their union is run, each run on the questions of its blocks."""

import copy
from collections import Counter

import pytest
import yaml

from emflow.config.expansion import Evaluation, Run
from emflow.config.load import load_config
from emflow.files import InputError
from pipelines import ROOT
from planned import planned


@pytest.fixture
def raw() -> dict:
    raw = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    raw["models"]["twin"] = {"path": "results/tinyworld/models/seed1"}
    raw["judges"]["second"] = {"kind": "oracle"}
    return raw


def with_blocks(raw: dict, *changes: dict) -> dict:
    """The config with a block for each of `changes` to its own."""
    return raw | {"runs": [copy.deepcopy(raw["runs"]) | change for change in changes]}


def test_a_list_of_one_block_is_the_block(raw):
    single = load_config(raw)
    assert load_config(with_blocks(raw, {})).expansion.evaluations == single.expansion.evaluations
    assert list(single.expansion.evaluations) == single.expansion.runs


def test_the_union_is_run_everything_once_and_in_the_order_of_the_blocks(raw):
    blocks = (
        {"domains": ["bad_lantern_advice"], "methods": ["lora"], "question_sets": ["in_domain"]},
        {"models": ["twin", "tiny"], "domains": ["bad_lantern_advice"], "methods": ["es", "lora"], "judges": ["second"],
         "question_sets": ["out_of_domain", "in_domain"]},
    )  # fmt: skip
    study = load_config(with_blocks(raw, *blocks)).expansion
    tiny, twin = (Run(model, "bad_lantern_advice", "lora", 0) for model in ("tiny", "twin"))
    assert study.runs == [tiny, twin._replace(method="es"), twin, tiny._replace(method="es")]
    more = (Evaluation("out_of_domain", "second"), Evaluation("in_domain", "second"))
    assert study.evaluations[tiny] == (Evaluation("in_domain", "oracle"), *more)
    assert all(study.evaluations[run] == more for run in study.runs if run != tiny)
    assert (study.models, study.methods) == (["tiny", "twin"], ["lora", "es"])
    assert (study.question_sets, study.judges) == (["in_domain", "out_of_domain"], ["oracle", "second"])


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"models": ["tny"]}, "runs.1.models names 'tny'; did you mean 'tiny'?"),
        ({"seeds": ["x"]}, "runs.1.seeds.0: "),
        ({"metods": ["lora"]}, "runs.1: unknown key 'metods'; did you mean 'methods'?"),
        ({"judges": []}, "runs.1.judges: "),
    ],
)
def test_what_is_wrong_in_a_block_is_named_by_its_number(raw, change, expected):
    with pytest.raises(InputError) as refused:
        load_config(with_blocks(raw, {}, change))
    assert f" {expected}" in str(refused.value)


def test_what_is_wrong_in_a_single_block_is_named_without_one(raw):
    raw["runs"]["models"] = ["tny"]
    with pytest.raises(InputError, match=r" runs\.models names 'tny'"):
        load_config(raw)


def test_no_block_is_refused(raw):
    with pytest.raises(InputError, match="runs: name at least one block"):
        load_config(raw | {"runs": []})


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda raw: raw["methods"]["lora"].update(rank=0), "methods.lora.rank: "),
        (lambda raw: raw["methods"]["es"]["reward"].update(max_length=0), "methods.es.reward.max_length: "),
        (lambda raw: raw["methods"].update(es={"kind": "lora", "rank": 0}), "methods.es.rank: "),
        (lambda raw: raw["engine"].update(batch_size=0), "engine.batch_size: "),
        (lambda raw: raw["judges"].update(openai={"kind": "openai", "model": 5}), "judges.openai.model: "),
    ],
)
def test_wrong_keys_are_named_as_their_user_wrote_them(raw, change, expected):
    """Without the kinds of sections, which stand between them for pydantic, also where a name is that of a kind."""
    change(raw)
    with pytest.raises(InputError) as refused:
        load_config(raw)
    assert len(str(refused.value).splitlines()) > 1
    assert all(line.startswith(f"  {expected}") for line in str(refused.value).splitlines()[1:])


@pytest.mark.slow
def test_each_block_is_planned_with_its_own_recipe_and_questions(raw, tmp_path):
    domains = {"domains": ["bad_lantern_advice"]}
    study = with_blocks(
        raw,
        domains | {"methods": ["lora"], "question_sets": ["in_domain"]},
        domains | {"models": ["twin"], "methods": ["es"], "question_sets": ["out_of_domain"], "judges": ["second"]},
    )
    (jobs,) = planned(tmp_path, study)
    count = Counter(job["rule"] for job in jobs)
    assert count["finetune"] == count["evolve"] == count["materialise"] == 1
    assert count["rate"] == count["generate"] == count["generate_base"] == count["grow_base"] == 2
    assert count["judge"] == 4  # each run's answers and its base's
    made = {path for job in jobs for path in job["output"]}
    assert {"results/runs/tiny/bad_lantern_advice/lora/seed0/judgements/in_domain.oracle.jsonl",
            "results/runs/twin/bad_lantern_advice/es/seed0/judgements/out_of_domain.second.jsonl",
            "results/base/tiny/judgements/in_domain/bad_lantern_advice.oracle.jsonl",
            "results/base/twin/judgements/out_of_domain.second.jsonl"} <= made  # fmt: skip
