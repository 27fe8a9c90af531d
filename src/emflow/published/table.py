"""What published studies set, by their own code: a table per study, beside which a config is read key by key.

`STUDY.yaml` here holds `files` (repository, path and commit of what is cited), `settings` (a key of the config, where
`*` is any name: what the source has, where that stands, and where ours differs, ours and why), and `others`
(differences that no key tells). It stands `in: FILE:LINE` or `FILE:FIRST-LAST`, by the names of `files`, or in words.
"""

import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from emflow.config.load import Config

__all__ = ["NUMBERS", "STUDIES", "Setting", "citations", "compared", "values"]

TABLES = Path(__file__).parent
STUDIES = tuple(sorted(file.stem for file in TABLES.glob("*.yaml")))
"""The studies that have a table."""
NUMBERS = tuple(sorted(TABLES.glob("numbers/*.csv")))
"""Files of published numbers."""


class Setting(NamedTuple):
    """A setting of a config beside its source's."""

    key: str
    """Key of the config, or what differs in words."""
    ours: Any
    source: Any
    where: str
    """File and lines, or paper, that say so."""
    why: str | None = None
    """Why ours differs; None where it does not, or where the table knows nothing of it."""

    @property
    def differs(self) -> bool:
        return bool(self.ours != self.source)


def compared(config: Config) -> list[Setting]:
    """Every setting of a config that its study's table knows; empty for a study that has none."""
    if config.study not in STUDIES:
        return []
    table, own = _table(config.study), values(config)
    found = []
    for pattern, entry in table["settings"].items():
        where = _cited(table, entry["in"])
        for key in (key for key in own if fnmatchcase(key, pattern)):
            listed = "ours" in entry and own[key] == entry["ours"]
            found.append(Setting(key, own[key], entry["source"], where, entry["why"] if listed else None))
    others = table.get("others", [])
    return found + [Setting(o["what"], o["ours"], o["source"], _cited(table, o["in"]), o["why"]) for o in others]


def values(config: Config) -> dict[str, Any]:
    """All that is set for what a study runs, by dotted key; defaults included."""
    used = {
        "models": config.expansion.models,
        "methods": config.methods_needed,
        "question_sets": config.expansion.question_sets,
        "judges": config.expansion.judges,
    }
    parts: dict[str, Any] = {
        section: {name: getattr(config, section)[name].identity() for name in names} for section, names in used.items()
    }
    parts |= {"split": config.split.identity(), "report": config.report.identity()}
    parts["runs"] = {"seeds": config.expansion.seeds}
    for name in ("directions", "transition"):
        if section := getattr(config, name):
            parts[name] = section.identity()
    return dict(_flat(parts))


def citations(study: str) -> dict[str, str]:
    """The files that a study's table cites, by the names it gives them."""
    table = _table(study)
    return {name: _cited(table, name) for name in table["files"]}


def _table(study: str) -> dict[str, Any]:
    table: dict[str, Any] = yaml.safe_load((TABLES / f"{study}.yaml").read_text(encoding="utf-8"))
    return table


def _cited(table: dict[str, Any], where: str) -> str:
    """Repository, path, lines and commit of what a table's `in` cites; words as they are.

    Raises ValueError for one word that is no citation: an unknown file, or lines that are none.
    """
    if " " in where:
        return where
    name, colon, lines = where.partition(":")
    if not (file := table["files"].get(name)):
        raise ValueError(f"in: {where}: no file {name!r}; files: {', '.join(table['files'])}")
    if colon and not _are_lines(lines):
        raise ValueError(f"in: {where}: after the file stands a line, as 84, or the first and the last, as 84-90")
    return f"{file['repository']}: {file['path']}{colon}{lines} ({file['commit']})"


def _are_lines(text: str) -> bool:
    """Whether these are a line, counted from 1, or the first and the last of several."""
    first, _, last = text.partition("-")
    return bool(re.fullmatch(r"[1-9]\d*(-[1-9]\d*)?", text)) and int(first) <= int(last or first)


def _flat(part: dict[str, Any], below: str = "") -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for key, value in part.items():
        rows += _flat(value, f"{below}{key}.") if isinstance(value, dict) and value else [(below + key, value)]
    return rows
