"""Generates what is said about the config elsewhere: `config/schema.json` and the tables of `config/README.md`."""

import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from emflow.config.load import Config
from emflow.config.section import Section, sections_of
from emflow.files import write_text

__all__ = ["readme", "schema", "write"]

INTRODUCTION = """# The config

`config.yaml` is the default: the tiny world. Change a key by an overlay, never in place:

    snakemake --cores all --configfile config/experiments/NAME.yaml   # merged, key by key; lists replace lists
    snakemake --cores all --configfile A.yaml B.yaml                  # B over A; a second --configfile is refused

A section that names another `kind` than the one below it replaces it whole. The column *default* below is what holds
where no file sets a key; `config.yaml` sets many for the tiny world (of the methods `lora` and `es`, `split.test_size`,
`engine.batch_size`, `definitions`), and an overlay keeps them. So give a recipe of your own a name of its own, and set
`engine` for a real model.

`runs` says what is run; the other sections define what its names mean, so an overlay may define more than it runs. An
unknown key stops the workflow at once and names the nearest valid one. Editors that read `schema.json` complete keys.

When a key that *changes no result* is changed, nothing runs again.

Secrets (passwords that are not published, API keys, HF_TOKEN) are read from the environment and have no key here.

This page and `schema.json` are generated from `src/emflow/config/` by `python -m emflow.config.docs`.
"""


def schema() -> str:
    """The JSON schema of the config."""
    return json.dumps(Config.model_json_schema(), indent=1) + "\n"


def readme() -> str:
    """The user's page: a table for every section, a paragraph for a plain key, in the order of the default config."""
    parts = [INTRODUCTION]
    for name, field in Config.model_fields.items():
        if not sections_of(field.annotation):
            parts.append(f"## {name}\n\n{' '.join((field.description or '').split())}\n")
        many = get_origin(field.annotation) is dict
        parts += _pages(f"{name}.NAME" if many else name, field.annotation)
    return "\n".join(parts)


def _pages(name: str, annotation: Any) -> Iterator[str]:
    """A heading and a table for each section that a field may hold, and for the sections within."""
    sections = sections_of(annotation)
    for section in sections:
        kind = section.model_fields.get("kind")
        kinds = f" ({', '.join(f'kind: {value}' for value in get_args(kind.annotation))})" if kind else ""
        if len(sections) > 1 and not kind:  # told by their first key
            kinds = f" ({next(iter(section.model_fields))})"
        yield f"## {name}{kinds}\n\n{inspect.getdoc(section)}\n\n{_table(section)}"
        for part, field in section.model_fields.items():
            if part not in Config.model_fields:  # else its page stands where the config itself has it
                yield from _pages(f"{name}.{part}", field.annotation)


def _table(section: type[Section]) -> str:
    rows = ["| key | values | default | meaning |", "|---|---|---|---|"]
    for name, field in section.model_fields.items():
        meaning = " ".join((field.description or "").split())  # a table's row is one line
        if name in section.operational():
            meaning += " *Changes no result.*"
        rows.append(f"| `{name}` | {_values(field.annotation)} | {_default(field)} | {meaning} |")
    return "\n".join(rows) + "\n"


def _values(annotation: Any) -> str:
    arguments = get_args(annotation)
    if get_origin(annotation) in (UnionType, Union):
        return " or ".join(dict.fromkeys(map(_values, arguments)))
    if get_origin(annotation) is tuple:
        return f"list of {_values(arguments[0])}"
    if get_origin(annotation) is dict:
        return f"mapping of {' to '.join(map(_values, arguments))}"
    if annotation is NoneType:
        return "null"
    if arguments and not isinstance(annotation, type) and hasattr(annotation, "__metadata__"):
        return _values(arguments[0])
    if arguments:  # Literal
        return ", ".join(f"`{value}`" for value in arguments)
    return {str: "text", int: "integer", float: "number", bool: "true, false"}.get(annotation, "section")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = list(field.default) if isinstance(field.default, tuple) else field.default
    return "its defaults" if isinstance(value, Section) else f"`{json.dumps(value)}`"


def write(folder: Path) -> None:
    """Write both files."""
    write_text(folder / "schema.json", schema())
    write_text(folder / "README.md", readme())


if __name__ == "__main__":
    write(Path("config"))
