"""What a published study is not, in our replication of it."""

import pandas as pd

from emflow.published.table import compared
from emflow.reporting.design import Design
from emflow.reporting.numbers import Numbers
from emflow.reporting.section import ReportSection, ShownTable

__all__ = ["deviations"]

UNLISTED = "changed in this config"
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
    differing = [setting for setting in settings if setting.differs]
    parts: list[str | ShownTable] = [STAND_INS] if config.stand_ins else []
    if settings:
        parts.append(f"Of {len(settings)} settings that were compared with the source's code, {len(differing)} differ.")
    if differing:
        data = pd.DataFrame(
            [
                {
                    "setting": s.key,
                    "here": str(s.ours),
                    "source": str(s.source),
                    "why": s.why or UNLISTED,
                    "read in": s.where,
                }
                for s in differing
            ]
        )
        parts.append(ShownTable("deviations", data, data.map(_cell)))
    return ReportSection("What differs from the source", [*parts])


def _cell(text: str) -> str:
    """A text that a table of Markdown can hold: special tokens have bars."""
    return text.replace("|", "\\|")
