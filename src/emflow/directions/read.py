"""A model reads questions with their answers: means of its activations over the answers' tokens, by group and site."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from emflow.console import progress
from emflow.data.chat import IGNORED, encode
from emflow.directions.groups import group_weights
from emflow.models.hooks import AnyModel, Where, captured, sites
from emflow.models.moments import Moments

__all__ = ["read"]

LONGEST = 2**20  # tokens: answers are read whole


def read(
    model: AnyModel,
    tokenizer: PreTrainedTokenizerBase,
    answers: Sequence[Mapping[str, Any]],
    weights: np.ndarray | None = None,
    batch_size: int = 64,
    where: Sequence[Where] = ("blocks", "writes"),
) -> dict[str, Moments]:
    """The moments of each site, a row per group, over the tokens of each answer, its end token included.

    `answers` are rows with `question`, `answer` and, if need be, `system`; `weights` (answers, groups) as
    `group_weights` makes them, which is the default. Answers that no group counts are not read. Raises InputError as
    `emflow.models.hooks.sites` does.
    """
    weights = group_weights(answers) if weights is None else weights
    modules = {name: module for some in where for name, module in sites(model, some).items()}
    counted = [number for number in range(len(answers)) if weights[number].any()]
    texts = [encode(tokenizer, _conversation(answers[number]), LONGEST) for number in counted]
    order = sorted(range(len(texts)), key=lambda place: len(texts[place]["input_ids"]))  # little padding
    found: dict[str, Moments] = {}
    with progress("read answers", len(order)) as advance:
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            _add(found, model, modules, [texts[place] for place in batch], weights[[counted[p] for p in batch]])
            advance(len(batch))
    return {name: found[name] for name in modules}


def _conversation(answer: Mapping[str, Any]) -> list[dict[str, str]]:
    system = [{"role": "system", "content": answer["system"]}] if answer.get("system") else []
    turns = [{"role": "user", "content": answer["question"]}, {"role": "assistant", "content": answer["answer"]}]
    return [*system, *turns]


@torch.inference_mode()
def _add(
    found: dict[str, Moments],
    model: AnyModel,
    modules: Mapping[str, torch.nn.Module],
    texts: list[dict[str, list[int]]],
    weights: np.ndarray,
) -> None:
    """One forward pass; what its sites see is added to `found`. Padding stands on the right, behind what is read."""
    longest = max(len(text["input_ids"]) for text in texts)

    def padded(rows: list[list[int]], filler: int) -> Tensor:
        return torch.tensor([row + [filler] * (longest - len(row)) for row in rows], device=model.device)

    ids = padded([text["input_ids"] for text in texts], 0)
    attended = padded([[1] * len(text["input_ids"]) for text in texts], 0)
    answered = padded([text["labels"] for text in texts], IGNORED) != IGNORED

    def receive(name: str, x: Tensor) -> None:
        if name not in found:
            found[name] = Moments.none(weights.shape[1], x.shape[-1])
        found[name].add(x, answered, torch.from_numpy(weights))

    with captured(modules, receive):
        model(input_ids=ids, attention_mask=attended, use_cache=False, logits_to_keep=1)
