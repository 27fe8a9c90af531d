"""How the study was made."""

from emflow.reporting.design import Design
from emflow.reporting.numbers import Numbers
from emflow.reporting.section import ReportSection, ShownTable

__all__ = ["provenance"]


def provenance(numbers: Numbers, design: Design) -> ReportSection | None:
    """Models, digests, seeds and versions; nothing where none are known."""
    if numbers.facts.empty:
        return None
    text = "Everything, for every run: [provenance.json](provenance.json)."
    return ReportSection("How this was made", [text, ShownTable("provenance", numbers.facts, numbers.facts)])
