"""Studies that share a folder: a name means the same in each, or is told."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple, get_type_hints

from pydantic import TypeAdapter, ValidationError

from emflow.config.load import Config
from emflow.files import InputError, write_text
from emflow.paths import Results

__all__ = ["clashes", "remember"]

SECTIONS = ("models", "domains", "methods", "question_sets", "judges")
OF_ALL_MODELS = {
    "methods": ("reward",),
    "question_sets": ("source", "sha256", "ids", "part", "prompts"),
    "interventions": (),
}
"""Keys that count even where two studies have no model in common: what they make lies under no model's name."""
MADE_OF = ("choose_on", "judge")
"""Keys of `directions` that stand in the path of a direction; what is done along it has a name of its own."""


class Difference(NamedTuple):
    """The first key in which what has one name differs, and its values."""

    key: str
    here: Any
    there: Any


def remember(config: Config, results: Results) -> None:
    """Write down what the names of a study mean, for the other studies of the folder."""
    meaning = json.dumps(_meaning(config), indent=1, ensure_ascii=False)
    write_text(results.meanings / f"{config.study}.json", meaning + "\n")


def clashes(config: Config, results: Results) -> list[str]:
    """A line for each name that means something else in another study of the folder, whose results would be lost.

    Raises InputError where what another study wrote down cannot be read.
    """
    own = json.loads(json.dumps(_meaning(config)))
    lines = []
    for file in sorted(results.meanings.glob("*.json")):
        if file.stem == config.study:
            continue
        try:
            differences = list(_differences(own, _completed(json.loads(file.read_text(encoding="utf-8")))))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{file} is damaged ({error}): delete it, and run the study '{file.stem}' again") from None
        lines += [
            f"{found.key} is {found.here!r} here, and {found.there!r} in the study '{file.stem}' of this folder: "
            f"{mend}, or use another folder (--directory); deleting {file} gives up what that study made"
            for found, mend in differences
        ]
    return lines


def _meaning(config: Config) -> dict[str, Any]:
    """All that determines the results which studies share, by the names that stand in their paths."""
    names = {section: getattr(config.expansion, section) for section in SECTIONS}
    names |= {"methods": config.methods_needed, "domains": config.domains_needed}
    meaning = {
        section: {name: getattr(config, section)[name].identity() for name in names[section]} for section in SECTIONS
    }
    for domain in meaning["domains"].values():
        del domain["control_of"]  # says what a report compares
    shared = {"split": config.split.identity(), "engine": config.engine.identity()}
    if config.directions:
        chosen_by = {"definition": config.definitions[config.report.definition].identity()}
        meaning["interventions"] = {
            name: intervention.identity() | (chosen_by if intervention.is_chosen else {})
            for name, intervention in config.directions.interventions.items()
        }
        # a direction lies in its run's folder, under the names of what it is made of alone
        own = ("domains", "methods", "evaluate_on", "interventions", "projections", "rank_one")
        shared["directions"] = config.directions.identity(*own)
        if config.directions.rank_one:  # likewise what adapters read
            shared["rank_one"] = config.directions.rank_one.identity("folds", "seed")
    if config.transition:  # scaled adapters lie in their run's folder, under no name of their own
        shared["transition"] = config.transition.identity("methods", "question_set", "judge", "window", "threshold")
    return {**meaning, **shared}


def _completed(meaning: dict[str, Any]) -> dict[str, Any]:
    """What an earlier version wrote down, with the keys that have come since, at their defaults."""
    for section in SECTIONS:
        for name, entry in meaning.get(section, {}).items():
            meaning[section][name] = _with_defaults(section, {name: entry})[name]
            meaning[section][name].pop("control_of", None)
    for section in ("split", "engine"):
        if section in meaning:
            meaning[section] = _with_defaults(section, meaning[section])
    return meaning


def _with_defaults(section: str, written: dict[str, Any]) -> dict[str, Any]:
    """A section of the config with all its keys; as it is where a key of it has gone since."""
    try:
        config = TypeAdapter(get_type_hints(Config, include_extras=True)[section]).validate_python(written)
    except ValidationError:
        return written
    entries = {name: entry.identity() for name, entry in config.items()} if section in SECTIONS else config.identity()
    plain: dict[str, Any] = json.loads(json.dumps(entries))
    return plain


def _differences(own: dict[str, Any], other: dict[str, Any]) -> Iterator[tuple[Difference, str]]:
    """Each with its mend."""
    sections = (*SECTIONS, "interventions")
    shared = {section: own.get(section, {}).keys() & other.get(section, {}).keys() for section in sections}
    for section in sections:
        for name in sorted(shared[section]):
            here, there = own[section][name], other[section][name]
            if section in OF_ALL_MODELS and not shared["models"]:
                here, there = ({key: entry.get(key) for key in OF_ALL_MODELS[section]} for entry in (here, there))
            elif section == "interventions":  # keys that an earlier version did not have are at their defaults there
                here, there = ({key: entry[key] for key in here.keys() & there.keys()} for entry in (here, there))
            if found := _first(f"{section}.{name}", here, there):
                yield found, "give one of the two another name"
    # what splits all domains, what answers all questions and what is made of all runs have no names of their own
    used_by = {"split": ["domains"], "engine": ["models", "question_sets"]}
    used_by |= {section: ["models", "methods"] for section in ("directions", "rank_one", "transition")}
    if any(own.get("directions", {}).get(key) != other.get("directions", {}).get(key) for key in MADE_OF):
        used_by["directions"] = ["models", "interventions"]
    for section, used in used_by.items():
        if section not in own or section not in other:
            continue
        found = _first(section, own[section], other[section])
        if found and all(shared[of] for of in used):
            named = " and ".join(f"{of}.{min(shared[of])}" for of in used)
            yield found, f"both use {named}, so give these other names in one of the two"


def _first(key: str, here: Any, there: Any) -> Difference | None:
    """The first difference of two values; sections of two kinds differ in their kinds."""
    if not (isinstance(here, dict) and isinstance(there, dict)):
        return Difference(key, here, there) if here != there else None
    for part in sorted(here.keys() | there.keys(), key=lambda part: (part != "kind", part)):
        if found := _first(f"{key}.{part}", here.get(part), there.get(part)):
            return found
    return None
