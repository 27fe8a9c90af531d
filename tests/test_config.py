"""The config: what is refused and how it is said; default file, schema and page do not drift apart."""

import copy
from pathlib import Path

import jsonschema
import pytest
import yaml

from emflow.config import Run, load_config
from emflow.config_docs import readme, schema
from emflow.files import InputError

ROOT = Path(__file__).parents[1]


@pytest.fixture
def raw() -> dict:
    return yaml.safe_load((ROOT / "config/config.yaml").read_text())


def test_default_file_holds_and_expands(raw):
    runs = load_config(raw).expand()
    product = [(d, m) for d in raw["runs"]["domains"] for m in raw["runs"]["methods"]]
    assert runs == [Run("tiny", domain, method, 0) for domain, method in product]
    assert runs[0].folder == f"results/runs/tiny/{product[0][0]}/{product[0][1]}/seed0"


def test_schema_is_generated_and_accepts_the_default_file(raw):
    assert (ROOT / "config/schema.json").read_text() == schema(), "run python -m emflow.config_docs"
    jsonschema.validate(raw, yaml.safe_load(schema()))


def test_page_is_generated():
    assert (ROOT / "config/README.md").read_text() == readme(), "run python -m emflow.config_docs"


def test_every_key_of_the_page_is_explained():
    for line in readme().splitlines():
        if line.startswith("| `"):
            assert line.split("|")[-2].strip(), line


@pytest.mark.parametrize("overlay", sorted((ROOT / "config/experiments").glob("*.yaml")), ids=lambda path: path.stem)
def test_published_experiments_hold(raw, overlay):
    def merged(below, above):
        both = {**below, **above}
        return {k: merged(below[k], v) if isinstance(below.get(k), dict) and isinstance(v, dict) else v
                for k, v in both.items()}  # fmt: skip

    assert load_config(merged(raw, yaml.safe_load(overlay.read_text()))).expand()


def changed(raw: dict, path: str, value) -> dict:
    raw = copy.deepcopy(raw)
    *parents, key = path.split(".")
    section = raw
    for parent in parents:
        section = section[parent]
    section[key] = value
    return raw


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("methds", {}, ["unknown key 'methds'", "did you mean 'methods'?"]),
        ("methods.lora.rnak", 4, ["methods.lora", "unknown key 'rnak'", "did you mean 'rank'?"]),
        ("question_sets.in_domain.sample", 4, ["question_sets.in_domain", "did you mean 'samples'?"]),
        ("methods.lora.kind", "lroa", ["methods.lora", "'lora'"]),
        ("runs.models", ["tny"], ["runs.models names 'tny'", "did you mean 'tiny'?"]),
        ("report.definition", "papr", ["report.definition", "did you mean 'paper'?"]),
        ("split.test_size", 0, ["split.test_size", "greater than 0"]),
        ("split.test_size", float("nan"), ["split.test_size", "finite"]),
        ("methods.lora.checkpoints", [0.5, 2], ["methods.lora", "(0, epochs=1]"]),
        ("methods.lora.checkpoints", [0.5, 0.5], ["checkpoints must rise"]),
        ("methods.es.sgima", 1, ["methods.es", "did you mean 'sigma'?"]),
        ("methods.es.checkpoints", [200], ["checkpoints must rise, each named once, within 1..iterations="]),
        ("methods.es.reward.kind", "nil", ["methods.es", "'nli'"]),
        ("methods.es", {"kind": "es", "reward": {"kind": "nli"}, "mirrored": True, "population": 3}, ["must be even"]),
        ("methods.es.init_from", {"method": "lora", "checkpoint": "epoch-1"}, ["keeps adapters"]),
        ("methods.es.init_from", {"method": "ess", "checkpoint": "iteration-9"}, ["did you mean 'es'?"]),
        ("question_sets.in_domain.samples", 0, ["question_sets.in_domain.samples"]),
        ("runs.seeds", ["x"], ["runs.seeds.0", "integer"]),
        ("domains.good_lantern_advice.control_of", "bad_lantern", ["control_of", "'bad_lantern_advice'"]),
    ],
)
def test_wrong_keys_are_named_with_the_mend(raw, path, value, expected):
    with pytest.raises(InputError) as refused:
        load_config(changed(raw, path, value))
    for words in expected:
        assert words in str(refused.value)


def test_every_wrong_key_is_named_at_once(raw):
    with pytest.raises(InputError) as refused:
        load_config(changed(changed(raw, "split.test_siez", 1), "report.examlpes", 1))
    assert "test_siez" in str(refused.value) and "examlpes" in str(refused.value)
