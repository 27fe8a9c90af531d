"""Which prompts a judge was asked with, where they are not the same for all that is compared."""

from emflow.reporting.design import Design
from emflow.reporting.numbers import Numbers
from emflow.reporting.section import ReportSection, ShownTable

__all__ = ["instruments"]


def instruments(numbers: Numbers, design: Design) -> ReportSection | None:
    """A table of the prompts by judge and question set; None where every judge had one set of prompts."""
    used = numbers.instruments
    mixed = used[used.groupby("judge")["prompts"].transform("nunique") > 1]
    if mixed.empty:
        return None
    names = ", ".join(f"`{judge}`" for judge in mixed["judge"].unique())
    text = f"""\
The judge {names} was asked with different prompts for different answers. A prompt is a part of the instrument: rates by
different prompts, in-domain against out-of-domain ones included, differ by it too. `question_sets.NAME.prompts` gives
sets the same."""
    return ReportSection("More than one instrument", [text, ShownTable("instruments", mixed, mixed.astype(str))])
