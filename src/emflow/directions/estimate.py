"""From means of activations to a direction per site, and how far it can be trusted."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.functional import cosine_similarity

from emflow.directions.groups import HALVES, column
from emflow.files import InputError, replacing, write_sealed
from emflow.models.moments import Moments
from emflow.models.sites import layer_of

__all__ = [
    "Direction", "Means", "contrast", "cosine", "estimated", "of_base", "of_halves", "read_direction", "shift", "trust",
    "write_estimate",
]  # fmt: skip

Means = Mapping[str, Moments]  # by site, as `emflow.directions.read.read` gives them
EVERY = tuple(range(HALVES))


@dataclass(frozen=True)
class Direction:
    """By site: a vector (width,), and what the base model is like there: its mean (width,) and mean norm."""

    vectors: dict[str, Tensor]
    base_mean: dict[str, Tensor]
    base_norm: dict[str, Tensor]

    def write(self, path: Path) -> None:
        """Write as safetensors `vectors/SITE`, `base_mean/SITE`, `base_norm/SITE`, float32."""
        tensors = {f"{part}/{site}": x for part, by_site in vars(self).items() for site, x in by_site.items()}
        with replacing(path) as temporary:
            save_file({name: x.float().contiguous() for name, x in tensors.items()}, temporary)


def read_direction(path: Path) -> Direction:
    """Read what `Direction.write` wrote."""
    parts: dict[str, dict[str, Tensor]] = {"vectors": {}, "base_mean": {}, "base_norm": {}}
    for name, tensor in load_file(path).items():
        part, _, site = name.partition("/")
        parts[part][site] = tensor
    return Direction(**parts)


def contrast(means: Means, halves: tuple[int, ...] = EVERY) -> dict[str, Tensor]:
    """Misaligned minus aligned answers of one reader, by site (Soligo et al., arXiv 2506.11618, section 3.1).

    Raises InputError where no question of these halves has answers of both classes.
    """
    return {
        site: _mean(moments, "misaligned", halves) - _mean(moments, "aligned", halves)
        for site, moments in means.items()
    }


def shift(means: Means, base: Means, halves: tuple[int, ...] = EVERY) -> dict[str, Tensor]:
    """All answers of the fine-tuned model as it reads them, minus the base's as the base does, by site."""
    return {site: _mean(means[site], "all", halves) - _mean(base[site], "all", halves) for site in means}


def estimated(kind: str, means: Means, base: Means, halves: tuple[int, ...] = EVERY) -> dict[str, Tensor]:
    """`contrast` or `shift`, by its name; raises InputError as they do."""
    return contrast(means, halves) if kind == "contrast" else shift(means, base, halves)


def _mean(moments: Moments, name: str, halves: tuple[int, ...] = EVERY) -> Tensor:
    columns = [column(name, half) for half in halves]
    weight = moments.weight[columns].sum()
    if weight == 0:
        raise InputError(
            "no question has misaligned and aligned answers both, so no direction can be told; take more samples per "
            "question, or direction: shift"
        )
    return moments.total[columns].sum(dim=0) / weight


def of_base(vectors: dict[str, Tensor], base: Means) -> Direction:
    """Vectors with what the base is like on its own answers."""
    means = {site: _mean(base[site], "all") for site in vectors}
    columns = [column("all", half) for half in EVERY]
    norms = {site: base[site].length[columns].sum() / base[site].weight[columns].sum() for site in vectors}
    return Direction(vectors, means, norms)


def trust(kind: str, tuned: Means, base_reading: Means, base: Means) -> list[dict[str, Any]]:
    """A row per site with the norm of a direction (`contrast` or `shift`), and with cosines.

    `tuned` and `base_reading` are two readers of the fine-tuned model's answers, `base` reads its own.
    `cosine_halves`: between the directions of two halves of the questions. `cosine_base_reading`: with the contrast
    that the base sees in the same texts; where it is near 1, the direction is the texts'. `cosine_base_mean`: with the
    base's mean activation; where it is not near 0, setting the component to 0 takes away more than the direction.
    """

    direction = of_base(estimated(kind, tuned, base), base)
    first, second = of_halves(lambda half: estimated(kind, tuned, base, half))
    control = estimated(kind, base_reading, base)
    rows = []
    for site, vector in direction.vectors.items():
        rows.append(
            {
                "site": site,
                "layer": layer_of(site),
                "norm": vector.norm().item(),
                "base_norm": direction.base_norm[site].item(),
                "cosine_halves": cosine(first.get(site), second.get(site)),
                "cosine_base_reading": cosine(vector, control[site]),
                "cosine_base_mean": cosine(vector, direction.base_mean[site]),
            }
        )
    return rows


def write_estimate(kind: str, readings: Mapping[str, Means], out: Path, table: Path) -> None:
    """Write the direction (`contrast` or `shift`) that follows from the moments of `emflow.directions.capture.capture`,
    and the rows of `trust` as CSV.

    Raises InputError where no direction can be told.
    """
    tuned, base = readings["tuned"], readings["base"]
    of_base(estimated(kind, tuned, base), base).write(out)
    rows = pd.DataFrame(trust(kind, tuned, readings["base_reading"], base))
    write_sealed(table, rows.to_csv(index=False, float_format="%.6g"))


def of_halves(estimate: Callable[[tuple[int, ...]], dict[str, Tensor]]) -> list[dict[str, Tensor]]:
    """What an estimate gives from either half of the questions; nothing where one has no question with both classes."""
    try:
        return [estimate((half,)) for half in EVERY]
    except InputError:
        return [{}, {}]


def cosine(a: Tensor | None, b: Tensor | None) -> float:
    """Between two vectors, (width,); NaN where one is none."""
    return float("nan") if a is None or b is None else float(cosine_similarity(a.double(), b.double(), dim=0))
