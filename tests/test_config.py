"""The config: what is refused and how it is said; default file, schema and page do not drift apart."""

import copy
from pathlib import Path

import jsonschema
import pytest
import yaml

from emflow.config.docs import readme, schema
from emflow.config.expansion import Run
from emflow.config.load import load_config, load_judge
from emflow.config.merge import merged
from emflow.files import InputError

ROOT = Path(__file__).parents[1]


@pytest.fixture
def raw() -> dict:
    return yaml.safe_load((ROOT / "config/config.yaml").read_text())


def test_default_file_holds_and_expands(raw):
    runs = load_config(raw).expansion.runs
    product = [(d, m) for d in raw["runs"]["domains"] for m in raw["runs"]["methods"]]
    assert runs == [Run("tiny", domain, method, 0) for domain, method in product]


def test_schema_is_generated_and_accepts_the_default_file(raw):
    assert (ROOT / "config/schema.json").read_text() == schema(), "run python -m emflow.config.docs"
    jsonschema.validate(raw, yaml.safe_load(schema()))


def test_page_is_generated():
    assert (ROOT / "config/README.md").read_text() == readme(), "run python -m emflow.config.docs"


def test_every_key_of_the_page_is_explained():
    for line in readme().splitlines():
        if line.startswith("| `"):
            assert line.split("|")[-2].strip(), line


@pytest.mark.parametrize("overlay", sorted((ROOT / "config/experiments").glob("*.yaml")), ids=lambda path: path.stem)
def test_published_experiments_hold(raw, overlay):
    assert load_config(merged(raw, yaml.safe_load(overlay.read_text()))).expansion.runs


def test_an_overlay_is_merged_key_by_key(raw):
    both = merged(raw, {"methods": {"lora": {"rank": 4}}, "runs": {"seeds": [1, 2]}})
    assert both["methods"] == {**raw["methods"], "lora": {**raw["methods"]["lora"], "rank": 4}}
    assert both["runs"] == {**raw["runs"], "seeds": [1, 2]}
    assert raw["methods"]["lora"]["rank"] == 32


@pytest.mark.parametrize(
    ("section", "name", "other"),
    [
        ("methods", "lora", {"kind": "full"}),
        ("methods", "es", {"kind": "es", "reward": {"kind": "nli"}}),
        ("judges", "oracle", {"kind": "openai", "model": "lantern-9"}),
        ("judges", "oracle", {"kind": "gold", "path": "labels.csv"}),
        ("engine", None, {"kind": "vllm"}),
    ],
)
def test_another_kind_replaces_its_section(raw, section, name, other):
    both = merged(raw, {section: {name: other} if name else other})
    assert load_config(both)
    if other["kind"] != (raw[section][name] if name else raw[section])["kind"]:
        assert (both[section][name] if name else both[section]) == other


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
        ("methods.lora.rnak", 4, ["  methods.lora: unknown key 'rnak'", "did you mean 'rank'?"]),
        ("question_sets.in_domain.sample", 4, ["question_sets.in_domain", "did you mean 'samples'?"]),
        (
            "domains.bad_lantern_advice.path",
            "http://[::1/x",
            ["'http://[::1/x' is no address"],
        ),
        (
            "question_sets.out_of_domain.source",
            "https://",
            ["is no address: an address begins with https://"],
        ),
        ("judges.oracle", {"kind": "openai", "model": "x", "base_url": "http://[::1/x"}, ["base_url", "is no address"]),
        ("judges.oracle", {"kind": "openai", "model": "x", "base_url": "node7:8000"}, ["base_url", "is no address"]),
        ("methods.lora.kind", "lroa", ["methods.lora", "'lora'"]),
        ("runs.models", ["tny"], ["runs.models names 'tny'", "did you mean 'tiny'?"]),
        ("report.definition", "paper", ["report.definition", "'paper' is called 'betley' now"]),
        ("split.test_size", 0, ["question_sets.in_domain asks held-out prompts", "split.test_size: 0"]),
        ("split.test_size", 1, ["split.test_size", "less than 1"]),
        ("split.test_size", float("nan"), ["split.test_size", "finite"]),
        ("methods.lora.checkpoints", [0.5, 2], ["methods.lora", "(0, epochs=1]"]),
        ("methods.lora.checkpoints", [0.5, 0.5], ["checkpoints must rise"]),
        ("methods.es.sgima", 1, ["methods.es", "did you mean 'sigma'?"]),
        ("methods.es.checkpoints", [200], ["checkpoints must rise, each named once, within 1..iterations="]),
        ("methods.es.reward.kind", "nil", ["methods.es", "'nli'"]),
        ("methods.es", {"kind": "es", "reward": {"kind": "nli"}, "mirrored": True, "population": 3}, ["must be even"]),
        ("methods.es.init_from", {"method": "lora", "checkpoint": "epoch-2"}, ["init_from.checkpoint: did you mean"]),
        (
            "methods.lora.init_from",
            {"method": "es", "checkpoint": "iteration-45", "domain": "bad_lantern"},
            ["domain:"],
        ),
        ("methods.lora.kl", {"weight": 1, "domain": "bad_lantern"}, ["methods.lora.kl.domain: did you mean 'bad_lan"]),
        ("domains.half", {"mix": {"bad_lantern": 1}}, ["domains.half.mix takes domains that are files: did you mean"]),
        ("domains.half", {"mix": {"half": 1}}, ["domains.half.mix takes domains that are files: valid: bad_lantern"]),
        ("domains.half", {"mix": {"bad_lantern_advice": 0}}, ["domains.half: mix: give at least one domain a part"]),
        ("domains.half", {"mixx": {"bad_lantern_advice": 1}}, ["domains.half: unknown key 'mixx'"]),
        ("methods.es.init_from", {"method": "ess", "checkpoint": "iteration-9"}, ["did you mean 'es'?"]),
        ("question_sets.in_domain.samples", 0, ["question_sets.in_domain.samples"]),
        ("runs.seeds", ["x"], ["runs.seeds.0: should be a whole number, and is 'x'"]),
        ("domains.good_lantern_advice.control_of", "bad_lantern", ["control_of", "'bad_lantern_advice'"]),
        ("methods.lora.kind", "lroa", ["unknown kind 'lroa'; did you mean 'lora'?"]),
        ("methods.es.reward", {}, ["methods.es.reward: name its `kind`: cross_entropy, nli, cosine"]),
        ("methods.reward", {"rank": 1}, ["methods.reward: name its `kind`: lora, full, es"]),
        ("judges.oracle", {}, ["judges.oracle: name its `kind`: oracle, openai, vllm, transformers, gold"]),
        ("engine", {"batch_size": 8}, ["engine: name its `kind`: transformers, vllm"]),
        ("runs.seeds", 0, ["runs.seeds: should be a list, as in [a, b], and is 0"]),
        ("runs.seeds", [], ["runs.seeds: name at least one"]),
        ("runs.seeds", [-1], ["runs.seeds.0", "greater than or equal to 0"]),
        ("runs.seeds", [2**32], ["runs.seeds.0", "less than 4294967296"]),
        ("runs.seeds", [10**32], ["runs.seeds.0"]),
        ("runs.seeds", [0, 0], ["runs.seeds: names 0 2 times: name it once"]),
        ("question_sets.in_domain.seed", -1, ["question_sets.in_domain.seed"]),
        ("methods.lora", None, ["methods.lora: should be a section", "is empty"]),
        ("methods.lora.rank", "four", ["methods.lora.rank: should be a whole number, and is 'four'"]),
        (
            "methods.lora.checkpoints",
            [0.1234561, 0.1234562],
            ["and 0.1234562 are both called epoch-0.123456"],
        ),
        ("models.a/b", {"path": "x"}, ["models.a/b: 'a/b' cannot be a name: names stand in paths, so letters, digits"]),
        ("runs.models", ["a/b"], ["runs.models.0: 'a/b' cannot be a name"]),
        ("models.lalala" + "la" * 20, {"path": "x"}, ["'la' 20 times or more at the end of a name"]),
        ("models." + "x7" * 51, {"path": "x"}, ["at most 100 characters, this has 102"]),
        ("domains.bad_lantern_advice.sha256", "abc", ["sha256", "64 digits of 0-9 and a-f"]),
        (
            "judges.oracle",
            {"kind": "openai", "model": "x", "coherence_first": 50},
            [
                "judges.oracle.coherence_first: 50 leaves",
                "the definition 'organisms' counts",
                "take definitions.organisms",
            ],
        ),
        ("methods.lora.layers", [0, -1], ["methods.lora.layers.1"]),
        ("methods.lora.layers", [], ["methods.lora.layers: name at least one"]),
        ("methods.lora.target_modules", ["q_proj", "q_proj"], ["names 'q_proj' 2 times: name it once"]),
        ("question_sets.out_of_domain.ids", ["a", "b", "a"], ["names 'a' 2 times: name it once"]),
        ("domains.good_lantern_advice.control_of", "good_lantern_advice", ["control_of names the domain itself"]),
        ("models.tiny.chat_template_kwargs", {"1a": 2}, ["'1a' is not of the form"]),
        ("models", None, ["models: should be a section: keys with values, and is empty"]),
    ],
)
def test_wrong_keys_are_named_with_the_mend(raw, path, value, expected):
    with pytest.raises(InputError) as refused:
        load_config(changed(raw, path, value))
    for words in expected:
        assert words in str(refused.value)


@pytest.mark.parametrize("length", [1, 2, 3, 5])
def test_recipes_that_start_from_each_other_in_a_circle_are_refused(raw, length):
    names = [f"es{number}" for number in range(length)]
    for name, before in zip(names, [*names[1:], names[0]], strict=True):
        start = {"method": before, "checkpoint": "iteration-45"}
        raw = changed(raw, f"methods.{name}", {**raw["methods"]["es"], "init_from": start})
    with pytest.raises(InputError, match=" from ".join([*names, names[0]]) + " is a circle"):
        load_config(raw)


def test_a_run_starts_from_one_on_another_domain(raw):
    start = {"method": "lora", "checkpoint": "epoch-1", "domain": "good_lantern_advice"}
    raw = changed(raw, "methods.chain", {"kind": "full", "init_from": start, "kl": {"weight": 1, "domain": "half"}})
    raw = changed(raw, "domains.half", {"mix": {"other": 1, "bad_lantern_advice": 1}})
    raw = changed(raw, "domains.other", {"path": "other.jsonl"})
    config = load_config(changed(changed(raw, "runs.methods", ["chain"]), "runs.domains", ["bad_lantern_advice"]))
    (run,) = config.expansion.runs
    assert config.start_of(run) == ("tiny", "good_lantern_advice", "lora", 0)
    assert config.start_of(config.start_of(run)) is None
    assert config.domains_needed == ["bad_lantern_advice", "good_lantern_advice", "half", "other"]
    assert list(config.files_of_domains) == ["bad_lantern_advice", "good_lantern_advice", "other"]


def test_a_chain_of_recipes_is_no_circle(raw):
    for name, before in (("es1", "es"), ("es2", "es1")):
        start = {"method": before, "checkpoint": "iteration-45"}
        raw = changed(raw, f"methods.{name}", {**raw["methods"]["es"], "init_from": start})
    assert load_config(raw)


def test_every_wrong_key_is_named_at_once(raw):
    with pytest.raises(InputError) as refused:
        load_config(changed(changed(raw, "split.test_siez", 1), "report.examlpes", 1))
    assert "test_siez" in str(refused.value) and "examlpes" in str(refused.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("api_key_env", "sk-hunter2-0123456789"),
        ("base_url", "https://me:hunter2@node7/v1"),
        ("base_url", "https://me:hunter2@[::1/v1"),
    ],
)
def test_a_secret_in_the_config_is_refused_and_not_repeated(key, value):
    judge = {"kind": "openai", "model": "x", key: value}
    with pytest.raises(InputError, match=f"{key}: ") as refused:
        load_judge({"judges": {"gpt": judge}}, "gpt")
    assert "hunter2" not in str(refused.value)


def test_coherence_first_may_stand_beside_definitions_that_count_coherent_answers_alone(raw):
    raw["definitions"] = {"betley": raw["definitions"]["betley"]}
    raw["judges"]["oracle"] = {"kind": "openai", "model": "x", "coherence_first": 50}
    load_config(raw)
    raw["judges"]["oracle"]["coherence_first"] = 51
    with pytest.raises(InputError, match="coherence_first: 51 leaves"):
        load_config(raw)
