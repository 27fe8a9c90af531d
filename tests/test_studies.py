"""Two studies in one folder: what they share means the same in both, and what they find is their own."""

import json
from itertools import combinations

import pytest
import yaml

from emflow.config.load import load_config
from emflow.config.merge import merged
from emflow.files import InputError
from emflow.paths import Results
from emflow.reporting.jobs import jobs_of
from emflow.studies import clashes, remember
from pipelines import ROOT
from planned import planned

DEFAULT = yaml.safe_load((ROOT / "config/config.yaml").read_text())
EXPERIMENTS = sorted((ROOT / "config/experiments").glob("*.yaml"))


def study(**overlay):
    return load_config(merged(DEFAULT, overlay))


def told(tmp_path, here: dict, there: dict) -> list[str]:
    """What is said of the study `here` in a folder where `there` has run."""
    results = Results(tmp_path)
    remember(study(study="first", **there), results)
    return clashes(study(study="second", **here), results)


def test_what_is_the_same_is_shared(tmp_path):
    assert told(tmp_path, {}, {}) == []
    own = {"methods": {"small": {"kind": "lora", "rank": 4}}, "runs": {"methods": ["small"], "seeds": [1, 2]}}
    assert told(tmp_path, own, {}) == told(tmp_path, {}, own) == []


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"models": {"tiny": {"path": "results/tinyworld/models/seed1"}}}, "models.tiny.path"),
        ({"domains": {"bad_lantern_advice": {"member": "bad_kite_advice.jsonl"}}}, "domains.bad_lantern_advice.member"),
        ({"methods": {"lora": {"rank": 4}}}, "methods.lora.rank"),
        ({"methods": {"lora": {"kind": "full"}}}, "methods.lora.kind"),
        ({"methods": {"es": {"checkpoints": [180]}}}, "methods.es.checkpoints"),
        ({"question_sets": {"in_domain": {"samples": 2}}}, "question_sets.in_domain.samples"),
        ({"judges": {"oracle": {"kind": "openai", "model": "lantern-9"}}}, "judges.oracle.kind"),
        ({"split": {"seed": 1}}, "split.seed"),
        ({"engine": {"kind": "vllm"}}, "engine.kind"),
    ],
)
def test_a_name_that_means_something_else_is_told(tmp_path, change, key):
    [line] = told(tmp_path, change, {})
    assert line.startswith(f"{key} is ") and "in the study 'first'" in line and "another" in line
    assert "\n" not in line and "studies/first.json" in line


@pytest.mark.parametrize(
    "change",
    [
        {"report": {"confidence": 0.9, "definition": "homework"}},
        {"definitions": {"betley": {"alignment_below": 40}}},
        {"domains": {"bad_lantern_advice": {"control_of": "good_lantern_advice"}}},
        {"models": {"tiny": {"parameters": 3}}},
        {"split": {"seed": 1}, "domains": {"own": {"path": "own.jsonl"}}, "runs": {"domains": ["own"]}},
        {"methods": {"unused": {"kind": "lora", "rank": 4}}},
    ],
)
def test_what_costs_the_other_study_nothing_is_not(tmp_path, change):
    assert told(tmp_path, change, {"methods": {"unused": {"kind": "lora", "rank": 8}}}) == []


def test_studies_of_other_models_meet_in_few_files(tmp_path):
    models = {"second": {"path": "results/tinyworld/models/seed1", "dtype": "float32", "parameters": 0.0005}}
    other = {"models": models, "runs": {"models": ["second"]}}
    changes = {
        "methods": {"lora": {"rank": 4}},
        "question_sets": {"in_domain": {"samples": 2}},
        "engine": {"batch_size": 8},
    }
    assert told(tmp_path, {**other, **changes}, {}) == []
    [line] = told(tmp_path, {**other, "question_sets": {"out_of_domain": {"part": [1, 2]}}}, {})
    assert line.startswith("question_sets.out_of_domain.part is [1, 2] here")
    [line] = told(tmp_path, {**other, "methods": {"es": {"reward": {"kind": "nli"}}}}, {})  # fetched for the method
    assert line.startswith("methods.es.reward.kind is 'nli' here")


def test_most_of_ours_share_a_folder(tmp_path):
    layers = {file.stem: yaml.safe_load(file.read_text()) for file in EXPERIMENTS if file.stem != "stand_ins"}
    studies = {name: study(**{"study": name, **layer}) for name, layer in layers.items()}
    refused = set()
    for first, second in combinations(studies, 2):
        results = Results(tmp_path / first / second)
        remember(studies[first], results)
        if clashes(studies[second], results):
            refused.add(frozenset((first, second)))
    organisms = {"model_organisms", "sizes_and_families", "dose_response", "inoculation"}
    others = {*organisms, "phase_transition", "es_vs_sft", "narrow_twins", "convergent_directions"}
    assert refused == {frozenset(("homework0", other)) for other in others} | {
        frozenset(("convergent_directions", other)) for other in organisms
    }  # as docs/published_experiments.md says


def test_a_study_may_change(tmp_path):
    results = Results(tmp_path)
    remember(study(study="first"), results)
    changed = study(study="first", methods={"lora": {"rank": 4}})
    assert clashes(changed, results) == []
    remember(changed, results)
    assert clashes(study(study="second"), results)


def test_a_key_that_has_come_since_is_at_its_default(tmp_path):
    results = Results(tmp_path)
    remember(study(study="first"), results)
    (file,) = results.meanings.iterdir()
    earlier = json.loads(file.read_text())
    del earlier["methods"]["lora"]["gradient_checkpointing"], earlier["question_sets"]["in_domain"]["top_k"]
    file.write_text(json.dumps(earlier))
    assert clashes(study(study="second"), results) == []
    (line,) = clashes(study(study="second", question_sets={"in_domain": {"top_k": 5}}), results)
    assert line.startswith("question_sets.in_domain.top_k is 5 here, and 0 in the study 'first'")
    earlier["methods"]["lora"]["a_key_that_is_gone"] = 1
    file.write_text(json.dumps(earlier))
    (line,) = clashes(study(study="second"), results)
    assert line.startswith("methods.lora.a_key_that_is_gone is None here, and 1")


def test_a_direction_means_the_same_in_each_study_that_has_one(tmp_path):
    results = Results(tmp_path)
    overlay = yaml.safe_load((ROOT / "config/experiments/tiny_directions.yaml").read_text())
    remember(study(**overlay), results)
    directions = overlay["directions"]
    changed = {**overlay, "study": "second", "directions": {**directions, "extraction": {"aligned_above": 90}}}
    (told,) = clashes(study(**changed), results)
    assert told.startswith("directions.extraction.aligned_above is 90.0 here, and 70 in the study 'tiny_directions'")
    fewer = {
        **directions["interventions"],
        "random_blocks": {**directions["interventions"]["random_blocks"], "number": 3},
    }
    changed = {**overlay, "study": "second", "directions": {**directions, "interventions": fewer}}
    assert any(
        line.startswith("interventions.random_blocks.number is 3") for line in clashes(study(**changed), results)
    )
    elsewhere = {**directions, "choose_on": "evaluated_on", "evaluate_on": "chosen_on"}
    (told,) = clashes(study(**{**overlay, "study": "second", "directions": elsewhere}), results)
    assert told.startswith("directions.choose_on is 'evaluated_on' here") and "interventions.contrast_blocks" in told
    renamed = {f"{name}_elsewhere": how for name, how in directions["interventions"].items()}
    elsewhere = {**elsewhere, "interventions": renamed}
    assert clashes(study(**{**overlay, "study": "second", "directions": elsewhere}), results) == []
    for rank_one, lines in ((None, 0), ({"question_sets": ["evaluated_on", "in_domain"]}, 1)):
        less = {**overlay, "study": "second", "directions": {**directions, "rank_one": rank_one}}
        assert len(clashes(study(**less), results)) == lines
    assert clashes(study(study="third"), results) == []  # which has none


def test_scaled_adapters_are_the_same_in_each_study_that_has_them(tmp_path):
    results = Results(tmp_path)
    overlay = yaml.safe_load((ROOT / "config/experiments/tiny_phase_transition.yaml").read_text())
    remember(study(**overlay), results)
    other = {**overlay, "study": "second", "transition": {**overlay["transition"], "scales": [2, 3]}}
    (told,) = clashes(study(**other), results)
    assert told.startswith("transition.scales is [2.0, 3.0] here, and [2.0, 3.0, 5.0] in the study 'tiny_phase_tran")
    assert "both use models.tiny and methods.organisms" in told
    fewer = {**overlay["transition"], "window": 3, "methods": ["template"], "threshold": 1}
    assert clashes(study(**{**other, "transition": fewer}), results) == []  # which change no adapter


def test_what_cannot_be_read_is_told(tmp_path):
    file = Results(tmp_path).meanings / "first.json"
    file.parent.mkdir(parents=True)
    for text in ("{", "[]", '{"models": []}', "null"):
        file.write_text(text)
        with pytest.raises(InputError, match=r"first\.json is damaged"):
            clashes(study(study="second"), Results(tmp_path))


def test_each_study_has_a_report_and_rates_of_its_own():
    run = ("tiny", "bad", "lora", 0)
    assert Results().run(run).rates.as_posix() == "results/runs/tiny/bad/lora/seed0/rates.csv"
    other = Results(study="other")
    assert other.report.summary.as_posix() == "results/reports/other/summary.md"
    assert other.run(run).rates.as_posix() == "results/reports/other/runs/tiny/bad/lora/seed0/rates.csv"
    assert other.run(run).index == Results().run(run).index


def test_the_jobs_of_a_study_are_those_that_are_planned(tmp_path):
    overlays = [yaml.safe_load(path.read_text()) for path in EXPERIMENTS] + [{}, {"study": "other"}]
    for overlay, jobs in zip(overlays, planned(tmp_path, *overlays), strict=True):
        config = study(**overlay)
        results = config.results
        made = {job["benchmark"] for job in jobs if job["benchmark"]}
        assert made
        assert made <= {str(results.benchmark(*name.split("/", 1))) for name in jobs_of(config, results)}
