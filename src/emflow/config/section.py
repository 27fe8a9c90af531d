"""What every section of the config is made of: keys that are refused when unknown, and those that change no result."""

import difflib
from collections.abc import Iterable
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["OPERATIONAL", "Section", "nearest", "sections_of"]

OPERATIONAL = Field(json_schema_extra={"operational": True})
"""Marks a key that says how the work is done and changes no result: when it changes, nothing runs again."""


def nearest(word: str, valid: Iterable[Any]) -> str:
    """The mend for a misspelt name, as the end of a sentence."""
    valid = sorted(map(str, valid))
    close = difflib.get_close_matches(word, valid, n=1, cutoff=0.4)
    return f"did you mean '{close[0]}'?" if close else f"valid: {', '.join(valid)}"


class Section(BaseModel):
    """A part of the config. Unknown keys are refused with the nearest valid one."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _name_the_nearest_key(cls, data: Any) -> Any:
        for key in data if isinstance(data, dict) else ():
            if key not in cls.model_fields:
                raise ValueError(f"unknown key '{key}'; {nearest(str(key), cls.model_fields)}")
        return data

    @classmethod
    def operational(cls) -> set[str]:
        """The keys that change no result."""
        extras = {name: field.json_schema_extra for name, field in cls.model_fields.items()}
        return {name for name, extra in extras.items() if isinstance(extra, dict) and extra.get("operational")}

    def identity(self, *without: str) -> dict[str, Any]:
        """All keys that determine results, as plain values that JSON can hold; without the operational ones.

        It serves wherever a result is recognised: params of rules, keys of progress, headers of ES logs, model cards.
        """
        hidden = self.operational() | set(without)
        return {name: _plain(getattr(self, name)) for name in type(self).model_fields if name not in hidden}


def sections_of(annotation: Any) -> list[type[Section]]:
    """The sections that a field's annotation is made of, each once."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    return list(dict.fromkeys(section for part in get_args(annotation) for section in sections_of(part)))


def _plain(value: Any) -> Any:
    match value:
        case Section():
            return value.identity()
        case dict():
            return {key: _plain(item) for key, item in value.items()}
        case tuple() | list():
            return [_plain(item) for item in value]
    return value
