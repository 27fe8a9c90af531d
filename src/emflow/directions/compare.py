"""Directions of several runs beside each other: how alike they are, and how alike the texts alone would make them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import nan, sqrt
from pathlib import Path
from typing import Any

import pandas as pd
from torch import Tensor

from emflow.config.expansion import Run
from emflow.directions.estimate import Means, cosine, estimated, of_halves
from emflow.files import InputError, write_sealed
from emflow.models.moments import read_moments
from emflow.models.sites import layer_of

__all__ = ["compare_directions", "similarities"]

KINDS = ("contrast", "shift")
COLUMNS = (
    "model", "domain", "method", "seed", "other_domain", "other_method", "other_seed", "direction", "site", "layer",
    "cosine", "cosine_halves", "reliability", "cosine_base_reading",
)  # fmt: skip


@dataclass(frozen=True)
class Estimates:
    """Of one run, vectors by site."""

    whole: dict[str, Tensor]
    halves: list[dict[str, Tensor]]
    """From either half of the questions; empty where one has no question with both classes."""
    base_reading: dict[str, Tensor]
    """What takes the direction's place where the base reads the run's answers."""


def estimates(kind: str, readings: Mapping[str, Means]) -> Estimates | None:
    """Of the moments that `emflow.directions.capture.capture` made; None where no such direction can be told."""
    tuned, base, reading = (readings[name] for name in ("tuned", "base", "base_reading"))
    try:
        return Estimates(
            estimated(kind, tuned, base),
            of_halves(lambda half: estimated(kind, tuned, base, half)),
            estimated(kind, reading, base),
        )
    except InputError:
        return None


def similarities(one: Estimates, other: Estimates) -> list[dict[str, Any]]:
    """A row per site.

    `cosine` of the two directions; `cosine_halves` of those from different halves of the questions (mean of two), which
    share no question; `reliability`, what that would be if the two were one direction told as badly as each of them is:
    the geometric mean of their own (Spearman 1904); `cosine_base_reading`, what the base sees in the two runs' texts.
    """
    rows = []
    for site in one.whole:
        (a, b), (c, d) = ([half.get(site) for half in run.halves] for run in (one, other))
        own, others = cosine(a, b), cosine(c, d)
        rows.append(
            {
                "site": site,
                "layer": layer_of(site),
                "cosine": cosine(one.whole[site], other.whole[site]),
                "cosine_halves": (cosine(a, d) + cosine(b, c)) / 2,
                "reliability": sqrt(own * others) if own > 0 and others > 0 else nan,
                "cosine_base_reading": cosine(one.base_reading[site], other.base_reading[site]),
            }
        )
    return rows


def compare_directions(runs: Sequence[Run], moments: Sequence[Path], out: Path) -> int:
    """Write `directions.csv`: every pair of runs of one model, by direction and site; returns the number of rows."""
    rows = []
    for kind in KINDS:
        found = {run: estimates(kind, read_moments(path)) for run, path in zip(runs, moments, strict=True)}
        for one, other in combinations(runs, 2):
            first, second = found[one], found[other]
            if one.model == other.model and first and second:
                who = {f"other_{key}": value for key, value in other._asdict().items() if key != "model"}
                names = {**one._asdict(), **who, "direction": kind}
                rows += [{**names, **row} for row in similarities(first, second)]
    write_sealed(out, pd.DataFrame(rows, columns=list(COLUMNS)).to_csv(index=False, float_format="%.6g"))
    return len(rows)
