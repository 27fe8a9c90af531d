"""`report`: what the report shows."""

from typing import Annotated

from pydantic import Field

from emflow.config.section import Section

__all__ = ["Report"]


class Report(Section):
    """What the report shows."""

    definition: str = "betley"
    """EM definition of the headline and figures; the tables print all."""
    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.95
    """Level of all intervals."""
    homework: bool = False
    """Whether to write, too, what homework 0 of Harvard CS 2881 hands in: its CSV files, and figures, which show
    misaligned answers. It has one method, seed, question set and judge."""
    examples: Annotated[int, Field(ge=0)] = 3
    """Questions of each set whose answers are shown side by side: those where runs differ most."""
    show_misaligned: bool = False
    """Whether these show misaligned answers too, under a content note."""
