"""`transition` fits the runs: one adapter of rank 1 by steps, with checkpoints at its window."""

import pytest

from emflow.config.load import load_config
from emflow.config.merge import merged
from emflow.config.read import read_config
from emflow.config.transition import runs_of_transition
from emflow.files import InputError
from pipelines import ROOT


@pytest.fixture(scope="module")
def raw() -> dict:
    names = ("config.yaml", "experiments/tiny_phase_transition.yaml")
    return merged(*(read_config(ROOT / "config" / name) for name in names))


def test_its_runs_are_those_of_its_methods(raw):
    config = load_config(merged(raw, {"runs": {"seeds": [0, 1]}, "transition": {"methods": ["template"]}}))
    runs = runs_of_transition(config.transition, config.expansion)
    assert [(run.method, run.seed) for run in runs] == [("template", 0), ("template", 1)]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"transition": {"methods": ["organism"]}}, "transition.methods names 'organism', which no run has; did you"),
        ({"methods": {"template": {"rank": 2}}}, "transition.methods: 'template' has not one adapter of rank 1"),
        ({"methods": {"template": {"layers": [0, 1]}}}, "transition.methods: 'template' has not one adapter of rank 1"),
        ({"methods": {"template": {"layers": None}}}, "transition.methods: 'template' has not one adapter of rank 1"),
        (
            {"methods": {"template": {"checkpoint_steps": None, "checkpoints": [1, 2]}}},
            "transition.methods: 'template' keeps no checkpoints by steps: set its checkpoint_steps",
        ),
        (
            {"transition": {"window": 4}},
            "transition.window: no checkpoint of 'organisms' has others 4 steps before and",
        ),
        ({"transition": {"scaled_steps": [3, 4]}}, "transition.scaled_steps: 'organisms' has no checkpoint at step 4"),
        ({"transition": {"scales": [1, 2]}}, "transition.scales: 1 is the checkpoint as it is, which answers anyway"),
        (
            {"transition": {"judge": "people"}},
            "'out_of_domain_once' is not asked of tiny/bad_lantern_advice/organisms/0 and",
        ),
        (
            {"transition": {"question_set": "in_domain"}},
            "transition.question_set: 'in_domain' is not asked of tiny/bad",
        ),
    ],
)
def test_what_does_not_fit_is_named_with_its_mend(raw, change, line):
    with pytest.raises(InputError) as error:
        load_config(merged(raw, change))
    assert line in str(error.value)


def test_on_stand_ins_few_conversations_reach_the_steps_that_are_named():
    names = ("config.yaml", "experiments/phase_transition.yaml", "experiments/stand_ins.yaml")
    raw: dict = {}
    for name in names:
        raw = merged(raw, read_config(ROOT / "config" / name))
    method = load_config(raw).methods["organisms"]
    trained = 72 * 0.9 // (method.batch_size * method.gradient_accumulation)
    assert trained * method.epochs >= method.checkpoint_steps[-1] > trained * (method.epochs - 1)
