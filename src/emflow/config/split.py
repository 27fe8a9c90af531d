"""`split`: which conversations are held out."""

from typing import Annotated

from pydantic import Field

from emflow.config.section import Section
from emflow.config.types import Seed

__all__ = ["Split"]


class Split(Section):
    """Which conversations are held out; the same for every method and seed."""

    test_size: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of conversations held out as `validation`; 0 trains on all, and leaves no held-out question to ask."""
    seed: Seed = 0
    """Seed of `datasets.Dataset.train_test_split`."""
