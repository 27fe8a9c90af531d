"""What is wrong with a config, in the words of its user: a line per wrong key, with the mend."""

from typing import Any, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from emflow.config.section import Section, nearest, sections_of
from emflow.config.types import NAME_RULE, PLAIN_RULE, SHA256_RULE

__all__ = ["explained"]

A_SECTION = "a section: keys with values"
SHOULD_BE = {
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "dict_type": A_SECTION,
    "float_parsing": "a number",
    "float_type": "a number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "model_attributes_type": A_SECTION,
    "model_type": A_SECTION,
    "string_type": "a text; in YAML, quote what looks like a number",
    "tuple_type": "a list, as in [a, b]",
}
"""Pydantic's type of an error -> what the value should have been."""


def explained(error: ValidationError, raw: Any, *roots: type[Section]) -> str:
    """A line per wrong key of `raw`, which was to be one of the sections `roots`."""
    lines = []
    for problem in error.errors(include_url=False):
        where = ".".join(_keys(problem["loc"], raw)) or "config"
        lines.append(f"  {where}: {_words(problem, roots)}")
    return "\n".join(lines)


def _words(problem: ErrorDetails, roots: tuple[type[Section], ...]) -> str:
    """What is wrong with one value, and the mend."""
    value, context = problem["input"], problem.get("ctx", {})
    match problem["type"]:
        case "missing":
            return "is missing; set it"
        case "union_tag_not_found":
            return f"name its `kind`: {', '.join(_kinds(problem['loc'], roots))}"
        case "union_tag_invalid":
            return f"unknown kind '{context['tag']}'; {nearest(context['tag'], _kinds(problem['loc'], roots))}"
        case "too_short":
            return "name at least one"
        case "string_pattern_mismatch":
            return _wrong_name(value, context["pattern"])
        case kind if kind in SHOULD_BE:
            return f"should be {SHOULD_BE[kind]}, and is {_shown(value)}"
    return problem["msg"].removeprefix("Value error, ")


def _shown(value: Any) -> str:
    """A value, in short."""
    text = "empty" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _wrong_name(name: str, pattern: str) -> str:
    if pattern == SHA256_RULE:
        return f"{_shown(name)} is no sha256, which has 64 digits of 0-9 and a-f"
    if pattern not in (NAME_RULE, PLAIN_RULE):
        return f"{_shown(name)} is not of the form {pattern}"
    dots = ", and dots within" if pattern == NAME_RULE else ""
    return f"{_shown(name)} cannot be a name: names stand in paths, so letters, digits, _ + and - are allowed{dots}"


def _kinds(location: tuple[int | str, ...], roots: tuple[type[Section], ...]) -> list[str]:
    """The kinds that the section at a place of the config may have."""
    sections, named = list(roots), False
    for part in location:
        if named:  # the user's own name of an entry
            named = False
        elif fields := [section.model_fields[part] for section in sections if part in section.model_fields]:
            sections = [section for field in fields for section in sections_of(field.annotation)]
            named = any(get_origin(field.annotation) is dict for field in fields)
    return [kind for section in sections for kind in get_args(section.model_fields["kind"].annotation)]


def _keys(location: tuple[int | str, ...], raw: Any) -> list[str]:
    """The path to a wrong key as its user wrote it: pydantic names the kinds of sections in between, too."""
    keys = []
    for number, part in enumerate(location):
        if str(part).startswith("["):  # [key]: the key before it is wrong itself; or a kind of section without a key
            continue
        entries = raw if isinstance(raw, dict) else dict(enumerate(raw)) if isinstance(raw, list | tuple) else {}
        if part in entries:
            raw = entries[part]
        elif number < len(location) - 1 or not isinstance(raw, dict) or part == raw.get("kind"):
            continue  # the kind of a section
        keys.append(str(part))
    return keys
