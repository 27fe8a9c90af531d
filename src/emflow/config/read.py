"""A config file, as its user wrote it."""

from pathlib import Path
from typing import Any

from emflow.files import InputError
from emflow.formats.once import once
from emflow.formats.text import read_text

__all__ = ["read_config"]


def read_config(path: Path) -> dict[str, Any]:
    """The sections of a YAML file, unchecked.

    Raises InputError where it cannot be read, is no YAML, names a key twice, or holds no sections.
    """
    import yaml

    text = read_text(path)
    try:
        raw = yaml.load(text, once(yaml.SafeLoader))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InputError(f"{path}, line {line}: no valid YAML ({error.problem})") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # odd characters, dates, numbers, nesting
        raise InputError(f"{path}: no valid YAML ({' '.join(str(error).split())})") from None
    if not isinstance(raw, dict):
        found = "nothing" if raw is None else f"a {type(raw).__name__}"
        raise InputError(f"{path}: holds {found}; a config holds sections, such as `judges:`")
    return raw
