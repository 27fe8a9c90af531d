"""What a published study is not, in our replication of it."""

from typing import Any

import pandas as pd

from emflow.published.table import Setting, compared
from emflow.reporting.design import Design
from emflow.reporting.numbers import Numbers
from emflow.reporting.section import ReportSection, ShownTable

__all__ = ["deviations"]

UNLISTED = "changed in this config"
MOST = 12  # items of a list that is shown whole
STAND_INS = (
    "**This study ran on stand-ins**: tiny random models, fictional data and a local judge in place of its own. "
    "It shows that every step runs; its numbers mean nothing."
)


def deviations(numbers: Numbers, design: Design) -> ReportSection | None:
    """A table of the settings that are not the source's; None for a study that has no source and no stand-ins."""
    config = design.config
    settings = compared(config) if config else []
    if config is None or not (settings or config.stand_ins):
        return None
    parts: list[str | ShownTable] = [STAND_INS] if config.stand_ins else []
    if settings:
        data = pd.DataFrame([_row(setting) for setting in settings])
        shown = data[data["differs"]].drop(columns="differs")
        parts.append(f"Of {len(data)} settings that were compared with the source's code, {len(shown)} differ.")
        parts.append(ShownTable("deviations", data, shown.map(_cell)))
    return ReportSection("What differs from the source", [*parts])


def _row(setting: Setting) -> dict[str, Any]:
    return {
        "setting": setting.key,
        "here": str(setting.ours),
        "source": str(setting.source),
        "why": setting.why or UNLISTED * setting.differs,
        "read in": setting.where,
        "differs": setting.differs,
    }


def _cell(text: str) -> str:
    """A text that a table of Markdown can hold: special tokens have bars, and lists of steps are long."""
    items = text.split(", ")
    if text.startswith("[") and len(items) > MOST:
        text = ", ".join([*items[:3], "…", items[-1]])
    return text.replace("|", "\\|")
