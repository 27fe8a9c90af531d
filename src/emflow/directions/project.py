"""One projection job: how far a run's answers, and what it is like before its first word, lie along its directions.

The last token of the prompt, before and after fine-tuning, is the finetuning shift of Chen et al. (arXiv 2507.21509).
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import normalize
from transformers import PreTrainedTokenizerBase

from emflow.directions.estimate import Direction, Means, estimated, of_base
from emflow.directions.read import read_through
from emflow.files import InputError, read_jsonl, write_sealed
from emflow.inference.transformers_engine import TransformersEngine
from emflow.models.chat_template import TemplateArguments
from emflow.models.hooks import AnyModel, sites
from emflow.models.sites import layer_of

__all__ = ["project", "projections"]

KINDS = ("contrast", "shift")
NAMES = ("model", "domain", "method", "seed", "checkpoint", "question_set", "question_id", "paraphrase", "sample")
SCORES = ("alignment", "coherence", "error")


def project(
    base: Path,
    dtype: str,
    template: TemplateArguments | None,
    checkpoints: Mapping[str, Path],
    judgements: Path,
    readings: Mapping[str, Means],
    batch_size: int,
    out: Path,
) -> int:
    """Write a row per answer, direction and decoder block to `out` (CSV); returns how many answers were read.

    Every checkpoint reads its own answers, and the base the same. `readings` are the moments of which directions are
    made; one that cannot be told has no rows. Raises InputError where none can.
    """
    engine = TransformersEngine(base, dtype, batch_size, template)
    along = _at_blocks(readings)
    answers = pd.DataFrame(read_jsonl(judgements))
    tables = []
    for label, folder in checkpoints.items():
        own = answers[answers["checkpoint"] == label]
        rows: Any = own.to_dict("records")
        read = []
        for state in (folder, None):
            engine.use(state)
            with engine.model_in_use() as model:
                read.append(projections(model, engine.tokenizer, rows, along, batch_size))
        keys = ["number", "direction", "site", "layer"]
        both = read[0].merge(read[1], on=keys, suffixes=("", "_base"))
        tables.append(own.reset_index(drop=True)[[*NAMES, *SCORES]].join(both.set_index("number"), how="inner"))
    write_sealed(out, pd.concat(tables, ignore_index=True).to_csv(index=False, float_format="%.6g"))
    return sum(answers["checkpoint"].isin(list(checkpoints)))


def _at_blocks(readings: Mapping[str, Means]) -> dict[str, Direction]:
    """Directions at block outputs, those that can be told."""
    tuned, base = ({s: x for s, x in readings[name].items() if s.startswith("block")} for name in ("tuned", "base"))
    found = {}
    for kind in KINDS:
        with suppress(InputError):
            found[kind] = of_base(estimated(kind, tuned, base), base)
    if not found:
        raise InputError("no direction can be told, so nothing lies along one; see the log of rule direction")
    return found


def projections(
    model: AnyModel,
    tokenizer: PreTrainedTokenizerBase,
    answers: Sequence[Mapping[str, Any]],
    directions: Mapping[str, Direction],
    batch_size: int = 64,
) -> pd.DataFrame:
    """A row per answer (`number`), direction and site, with the component along the direction, from the base's mean and
    in its mean norms: `answer`, mean over the answer's tokens, and `prompt`, of the last token before them."""
    (blocks,) = {tuple(direction.vectors) for direction in directions.values()}
    rows: list[dict[str, Any]] = []

    def receive(site: str, x: Tensor, answered: Tensor, numbers: list[int]) -> None:
        shares = (answered / answered.sum(dim=1, keepdim=True)).to(x.device, torch.float32)
        means = torch.einsum("bl,blw->bw", shares, x.float().masked_fill(~answered.to(x.device)[..., None], 0))
        before = answered.int().argmax(dim=1) - 1
        last = x.float()[torch.arange(len(x)), before.to(x.device)]
        for name, direction in directions.items():
            unit = normalize(direction.vectors[site].double(), dim=0)
            from_mean = unit @ direction.base_mean[site].double()
            parts = [
                ((part.double().cpu() @ unit - from_mean) / direction.base_norm[site]).tolist()
                for part in (means, last)
            ]
            for number, answer, prompt in zip(numbers, *parts, strict=True):
                rows.append(
                    {
                        "number": number,
                        "direction": name,
                        "site": site,
                        "layer": layer_of(site),
                        "answer": answer,
                        "prompt": prompt,
                    }
                )

    modules = {site: module for site, module in sites(model, "blocks").items() if site in blocks}
    read_through(model, tokenizer, answers, modules, receive, batch_size)
    return pd.DataFrame(rows).sort_values(["number", "direction", "layer"], ignore_index=True)
