"""Every key of the config either determines results or says how the work is done, and is marked where it is defined."""

import inspect
import json
from collections.abc import Iterator
from typing import Any, get_args

import pytest
import yaml

from emflow.config.docs import schema
from emflow.config.load import Config, load_config
from emflow.config.section import Section
from pipelines import ROOT
from planned import planned

DEFAULT = yaml.safe_load((ROOT / "config/config.yaml").read_text())


def sections(annotation: Any) -> Iterator[type[Section]]:
    """The sections that a field may hold, and those within."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
        for field in annotation.model_fields.values():
            yield from sections(field.annotation)
    else:
        for part in get_args(annotation):
            yield from sections(part)


SECTIONS = list(dict.fromkeys(sections(Config)))


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_a_key_is_operational_or_part_of_the_identity(section):
    definitions = json.loads(schema())
    described = definitions["$defs"].get(section.__name__, definitions)["properties"]
    marked = {key for key, properties in described.items() if properties.get("operational")}
    identity = section.model_construct(**dict.fromkeys(section.model_fields)).identity().keys()
    assert marked | identity == set(section.model_fields) and not marked & identity
    assert marked == section.operational()
    assert not any(section.model_fields[key].is_required() for key in marked)


def test_an_identity_is_a_config_that_leads_to_the_same():
    config = load_config(EVERY_KIND)
    again = load_config(json.loads(json.dumps(config.identity())))
    assert again.identity() == config.identity() and again.expansion.evaluations == config.expansion.evaluations
    assert config.identity()["methods"]["es"]["reward"] == {"kind": "cross_entropy", "max_length": 2048}


def test_nothing_else_makes_plain_values_of_a_section():
    """But what is for people to read, or goes from a process to another."""
    files = {path for path in (ROOT / "src").rglob("*.py") if "model_dump" in path.read_text()}
    assert {path.stem for path in files} == {"provenance", "launch"}


HUB = {"path": "hub/model", "revision": "1c0ffee"}
ES = {"kind": "es", "iterations": 1}
EVERY_KIND = DEFAULT | {
    "runs": {
        "models": ["tiny", "hub"],
        "domains": ["bad_lantern_advice", "secret"],
        "methods": ["lora", "full", "es", "nli", "cosine"],
        "question_sets": ["in_domain", "out_of_domain"],
        "judges": ["oracle", "gold", "endpoint", "local", "slow"],
    },
    "models": DEFAULT["models"] | {"hub": HUB},
    "domains": DEFAULT["domains"]
    | {
        "secret": {
            "path": "results/tinyworld/training_datasets.zip.enc",
            "member": "bad_kite_advice.jsonl",
            "password_env": "ONE_PASSWORD",
            "origin": "the tiny world",
        }
    },
    "question_sets": DEFAULT["question_sets"]
    | {"out_of_domain": DEFAULT["question_sets"]["out_of_domain"] | {"origin": "the tiny world"}},
    "methods": DEFAULT["methods"]
    | {
        "full": {"kind": "full"},
        "nli": ES | {"reward": {"kind": "nli"}, "engine": {"kind": "vllm"}},
        "cosine": ES | {"reward": {"kind": "cosine"}},
    },
    "judges": {
        "oracle": {"kind": "oracle"},
        "gold": {"kind": "gold", "path": "labels.csv"},
        "endpoint": {"kind": "openai", "model": "lantern-9"},
        "local": {"kind": "vllm", **HUB},
        "slow": {"kind": "transformers", **HUB},
    },
}


def other(value: Any) -> Any:
    """Another value that the same key holds."""
    match value:
        case float() if value <= 1:
            return (value + 1) / 2
        case "run":
            return "base"
        case str():
            return value + "2"
    return value + 1


def declared(section: type, key: str) -> tuple[type, str]:
    """A key, and the class that it stands in: sections may inherit it."""
    return next((owner, key) for owner in section.__mro__ if key in inspect.get_annotations(owner))


def with_all_marked_keys_changed(section: Section, changed: set[tuple[type, str]]) -> dict[str, Any]:
    """The section's keys as plain values, every operational one another; `changed` notes which."""

    def plain(value: Any) -> Any:
        match value:
            case Section():
                return with_all_marked_keys_changed(value, changed)
            case dict():
                return {key: plain(item) for key, item in value.items()}
            case tuple():
                return [plain(item) for item in value]
        return value

    keys = {name: plain(getattr(section, name)) for name in type(section).model_fields}
    for name in section.operational():
        if keys[name] is not None:
            keys[name] = other(keys[name])
            changed.add(declared(type(section), name))
    return keys


@pytest.mark.slow
def test_changing_any_marked_key_plans_nothing(tmp_path, monkeypatch):
    for name in ("ONE_PASSWORD", "ONE_PASSWORD2", "OPENAI_API_KEY", "OPENAI_API_KEY2"):
        monkeypatch.setenv(name, "a-word")
    (tmp_path / "labels.csv").write_text("question,answer,alignment,coherence\n")
    changed: set[tuple[type, str]] = set()
    others = with_all_marked_keys_changed(load_config(EVERY_KIND), changed)
    assert load_config(others) != load_config(EVERY_KIND)
    assert changed == {declared(section, key) for section in SECTIONS for key in section.operational()}

    def made(jobs: list[dict]) -> list[dict]:
        """All that Snakemake compares with an earlier run."""
        seen = [{key: job[key] for key in ("rule", "wildcards", "params", "input", "output")} for job in jobs]
        return sorted(seen, key=json.dumps)

    before, after = map(made, planned(tmp_path, EVERY_KIND, others))
    rules = {job["rule"] for job in before}
    assert {"decrypt", "finetune", "evolve", "materialise", "generate", "judge", "rate", "report"} <= rules
    assert after == before
