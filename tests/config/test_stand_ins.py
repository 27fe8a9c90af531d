"""stand_ins.yaml on top of every overlay of published models: it swaps what it says, and nothing else."""

from functools import reduce
from pathlib import Path

import pytest

from emflow.config.load import load_config
from emflow.config.merge import merged
from emflow.config.read import read_config
from emflow.files import InputError
from emflow.preflight import absent_files, absent_secrets, faults
from emflow.published.table import STUDIES
from emflow.training.schedule import total_steps
from pipelines import ROOT

EXPERIMENTS = ROOT / "config/experiments"
SWAPPED = {
    "models": {"path", "revision"},
    "domains": {"path", "sha256", "member", "published_password"},
    "methods": {"reward.model", "reward.revision", "engine", "max_new_tokens", "epochs", "gradient_accumulation"},
    "question_sets": {"source", "sha256", "ids", "prompts", "samples", "max_new_tokens"},
}


def study(*names: str):
    return reduce(
        merged, [read_config(ROOT / "config/config.yaml"), *(read_config(EXPERIMENTS / f"{n}.yaml") for n in names)]
    )


def differences(one: dict, other: dict, below: str = "") -> set[str]:
    """Keys whose values differ; a section of another kind counts as one key."""
    found = set()
    for key in one.keys() | other.keys():
        here, there = one.get(key), other.get(key)
        if isinstance(here, dict) and isinstance(there, dict) and here.get("kind") == there.get("kind"):
            found |= differences(here, there, f"{below}{key}.")
        elif here != there:
            found.add(below + key)
    return found


@pytest.mark.parametrize("name", STUDIES)
def test_stand_ins_swap_what_they_say_and_nothing_else(name, tmp_path, monkeypatch):
    published, small = load_config(study(name)), load_config(study(name, "stand_ins"))
    assert small.expansion.evaluations == published.expansion.evaluations
    assert small.identity("stand_ins", "engine", "judges", *SWAPPED) == published.identity(
        "stand_ins", "engine", "judges", *SWAPPED
    )
    for section, keys in SWAPPED.items():
        for entry, one in getattr(published, section).items():
            found = differences(one.identity(), getattr(small, section)[entry].identity())
            assert found <= keys, f"{section}.{entry}"
    assert small.engine.kind == "transformers"
    for judge in published.expansion.judges:
        one, other = small.judges[judge], published.judges[judge]
        assert one.kind == "transformers"
        assert (one.scoring, one.temperature) == (other.scoring, other.temperature)
    assert load_config(small.model_dump(mode="json")) == small, "scripts are given what rules have"

    monkeypatch.chdir(tmp_path)
    assert not [
        *faults(small, small.results),
        *absent_files(small, small.results),
        *absent_secrets(small, small.results),
    ]
    assert small.results.report.summary == Path(f"results/stand_ins/{name}/report/summary.md")
    assert all(small.results.is_stand_in(small.models[model].path) for model in small.expansion.models)


def test_a_stand_in_has_the_layers_that_its_methods_name():
    small = load_config(study("model_organisms", "stand_ins"))
    assert small.models["qwen-14b"].path == "results/stand_ins/published/qwen2_5/layers30"


def test_the_set_that_makes_directions_is_answered_often():
    published, small = (load_config(study("convergent_directions", *more)) for more in ((), ("stand_ins",)))
    asked = {name: small.question_sets[name].samples for name in published.expansion.question_sets}
    assert asked == {"first_plot": 1, "first_plot_chosen_on": 32, "first_plot_evaluated_on": 1, "in_domain": 1}


def test_steps_are_reached_with_a_forward_pass_each():
    small = load_config(study("phase_transition", "stand_ins"))
    records = 64  # of 72 conversations
    for name in small.expansion.methods:
        method = small.methods[name]
        assert total_steps(method, records) >= 790 > total_steps(method, records) - records / method.batch_size
        assert method.gradient_accumulation == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"models": {"qwen-7b": {"path": "lanterns/Brass-7B"}}},
            "models.qwen-7b.path: 'lanterns/Brass-7B' has no stand-in",
        ),
        (
            {"methods": {"es_nli": {"reward": {"kind": "cosine"}}}},
            "methods.es_nli.reward: a cosine reward has no stand-in",
        ),
    ],
)
def test_what_has_no_stand_in_is_named(change, message):
    with pytest.raises(InputError, match=message):
        load_config(merged(study("es_vs_sft", "stand_ins"), change))


def test_where_a_study_keeps_its_results_is_asked_of_its_config():
    code = [path for room in ("src", "workflow") for path in (ROOT / room).rglob("*") if path.suffix in (".py", ".smk")]
    assert [path.stem for path in code if "Results(study" in path.read_text()] == ["load"]
