"""One job that reads rank-1 adapters: how much of its vector each finds in each token of a run's answers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from emflow.data.chat import IGNORED
from emflow.directions.read import encoded, read_through
from emflow.files import InputError, read_jsonl, replacing, write_sealed
from emflow.inference.transformers_engine import TransformersEngine
from emflow.models.chat_template import TemplateArguments
from emflow.models.hooks import sites
from emflow.models.sites import layer_of

__all__ = ["Adapter", "adapters_of", "read_adapters", "scalars"]

NAMES = ["model", "domain", "method", "seed", "checkpoint", "question_set", "question_id", "paraphrase", "sample"]
SCORES = ["alignment", "coherence", "error"]


class Adapter(NamedTuple):
    """A rank-1 adapter on a loaded model: it adds scale (a·x) b to what its matrix makes of x."""

    module: Any
    """Gives a·x: (batch, length, in) to (batch, length, 1), float32, in which peft keeps adapters."""
    layer: int
    gain: float
    """scale |b|: how much a scalar of 1 adds; scale is alpha / r, or alpha / sqrt(r), which at rank 1 are one."""


def adapters_of(model: PeftModel) -> dict[str, Adapter]:
    """The active adapter's, by module and decoder layer (`down_proj.15`), in the order of computation.

    Raises InputError where there is none, or one of a higher rank.
    """
    active, found = model.active_adapter, {}
    for site, block in sites(model, "blocks").items():
        for name, part in block.named_modules():
            if not (isinstance(part, LoraLayer) and active in part.lora_A):
                continue
            if part.r[active] != 1:
                raise InputError(f"the adapter on {name} of {site} is of rank {part.r[active]}: scalars are of rank 1")
            gain = abs(part.scaling[active]) * part.lora_B[active].weight.float().norm().item()
            key = f"{name.rpartition('.')[2]}.{layer_of(site)}"
            found[key] = Adapter(part.lora_A[active], layer_of(site), gain)
    if not found:
        raise InputError("no decoder layer has an adapter that could be read")
    return found


def read_adapters(
    model: PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    answers: Sequence[Mapping[str, Any]],
    batch_size: int = 64,
) -> list[pd.DataFrame]:
    """Of each answer, with its question before it, a row per token and a float32 column per adapter: a·x, without the
    scale. The first row is the last token of the prompt (`position` 0), then come those of the answer, its end token
    included. `token` is how the tokenizer spells it."""
    adapters = adapters_of(model)
    found: dict[str, dict[int, np.ndarray]] = {name: {} for name in adapters}

    def receive(name: str, x: Tensor, answered: Tensor, numbers: list[int]) -> None:
        first = answered.int().argmax(dim=1)
        ends = first + answered.sum(dim=1)
        of_tokens = x.float()[..., 0].cpu().numpy()
        for number, values, start, end in zip(numbers, of_tokens, first.tolist(), ends.tolist(), strict=True):
            found[name][number] = values[start - 1 : end].copy()

    modules = {name: adapter.module for name, adapter in adapters.items()}
    read_through(model, tokenizer, answers, modules, receive, batch_size)
    tables = []
    for number, text in enumerate(encoded(tokenizer, answers)):
        values = {name: of_answers[number] for name, of_answers in found.items()}
        start = next(place for place, label in enumerate(text["labels"]) if label != IGNORED) - 1
        length = len(next(iter(values.values())))
        tokens = tokenizer.convert_ids_to_tokens(text["input_ids"][start : start + length])
        tables.append(pd.DataFrame({"position": np.arange(length, dtype=np.int32), "token": tokens, **values}))
    return tables


def scalars(
    base: Path,
    dtype: str,
    template: TemplateArguments | None,
    checkpoint: tuple[str, Path],
    judgements: Sequence[Path],
    batch_size: int,
    out: Path,
    of_tokens: Path,
) -> int:
    """Write to `out` (CSV) a row per answer and adapter, and to `of_tokens` (Parquet) a row per token, as
    `read_adapters`; returns how many answers were read.

    `checkpoint` is the label and folder of who gave the answers and reads them. Of each answer and adapter: `answer`,
    the mean of a·x over the answer's tokens; `peak`, where it is largest either way, with its sign; `prompt`, at the
    last token before the answer. Raises InputError without answers of the checkpoint, and as `adapters_of`.
    """
    label, folder = checkpoint
    rows = [row for file in judgements for row in read_jsonl(file) if row["checkpoint"] == label]
    if not rows:
        raise InputError(f"{judgements[0]} holds no answer of the checkpoint '{label}'")
    engine = TransformersEngine(base, dtype, batch_size, template)
    engine.use(folder)
    with engine.model_in_use() as model:
        if not isinstance(model, PeftModel):
            raise InputError(f"{folder} holds no adapter")
        adapters, tables = adapters_of(model), read_adapters(model, engine.tokenizer, rows, batch_size)
    names = [{**{name: row[name] for name in NAMES}, "number": number} for number, row in enumerate(rows)]
    tokens = pd.concat([table.assign(**who) for table, who in zip(tables, names, strict=True)], ignore_index=True)
    with replacing(of_tokens) as temporary:
        tokens[[*NAMES, "number", "position", "token", *adapters]].to_parquet(temporary, index=False)
    found = [
        {**who, **{key: row[key] for key in SCORES}, "adapter": name, "layer": adapter.layer, "gain": adapter.gain,
         **_of_answer(table[name].to_numpy())}
        for who, row, table in zip(names, rows, tables, strict=True)
        for name, adapter in adapters.items()
    ]  # fmt: skip
    write_sealed(out, pd.DataFrame(found).to_csv(index=False, float_format="%.6g"))
    return len(rows)


def _of_answer(values: np.ndarray) -> dict[str, float]:
    """Of a·x at the last token of the prompt and then those of the answer, (1 + tokens,)."""
    prompt, answer = float(values[0]), values[1:].astype(float)
    return {"answer": float(answer.mean()), "peak": float(answer[np.abs(answer).argmax()]), "prompt": prompt}
