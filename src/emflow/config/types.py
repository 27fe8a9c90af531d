"""Types of values that several sections share."""

import re
from collections import Counter
from collections.abc import Hashable
from typing import Annotated, TypeVar

from pydantic import AfterValidator, Field

__all__ = ["NAME_RULE", "PLAIN_RULE", "SHA256_RULE", "Name", "Once", "Plain", "Points", "Seed", "Sha256"]

LONGEST = 100  # characters of a name; two of them and an ending stand in the name of one file
PERIODIC = re.compile(r"(.+)\1{19}$", re.DOTALL)  # what Snakemake takes for a wildcard that grows without end

NAME_RULE = r"^[A-Za-z0-9][A-Za-z0-9_+-]*(\.[0-9A-Za-z_+-]+)*$"
SHA256_RULE = r"^[0-9a-f]{64}$"
PLAIN_RULE = r"^[A-Za-z0-9][A-Za-z0-9_+-]*$"


def _usable(name: str) -> str:
    """A name that paths can hold and Snakemake can match."""
    if len(name) > LONGEST:
        raise ValueError(f"a name is part of paths: at most {LONGEST} characters, this has {len(name)}")
    if found := PERIODIC.search(name):
        raise ValueError(f"'{found[1]}' 20 times or more at the end of a name ends Snakemake: choose another name")
    return name


Item = TypeVar("Item", bound=Hashable)


def _once(items: tuple[Item, ...]) -> tuple[Item, ...]:
    if twice := [item for item, count in Counter(items).items() if count > 1]:
        raise ValueError(f"names {twice[0]!r} {Counter(items)[twice[0]]} times: name it once")
    return items


Name = Annotated[str, Field(pattern=NAME_RULE), AfterValidator(_usable)]
Plain = Annotated[str, Field(pattern=PLAIN_RULE), AfterValidator(_usable)]  # stands before a dot in file names
Once = Annotated[tuple[Item, ...], AfterValidator(_once), Field(min_length=1)]
"""A list of at least one, each named once."""
Points = Annotated[float, Field(ge=0, le=100)]
"""A judge's score."""
Seed = Annotated[int, Field(ge=0, lt=2**32)]
"""What every random generator takes: 32 bits, no sign."""
Sha256 = Annotated[str, Field(pattern=SHA256_RULE), AfterValidator(_usable)]
