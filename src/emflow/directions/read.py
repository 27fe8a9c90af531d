"""A model reads questions with their answers, and what passes its sites is received; means of it, by group."""

from collections.abc import Callable, Mapping, Sequence
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

__all__ = ["encoded", "read", "read_through"]

LONGEST = 2**20  # tokens: answers are read whole
Answers = Sequence[Mapping[str, Any]]


def read(
    model: AnyModel,
    tokenizer: PreTrainedTokenizerBase,
    answers: Answers,
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
    counted = np.flatnonzero(weights.any(axis=1))
    found: dict[str, Moments] = {}

    def receive(name: str, x: Tensor, answered: Tensor, numbers: list[int]) -> None:
        if name not in found:
            found[name] = Moments.none(weights.shape[1], x.shape[-1])
        found[name].add(x, answered, torch.from_numpy(weights[counted[numbers]]))

    read_through(model, tokenizer, [answers[number] for number in counted], modules, receive, batch_size)
    return {name: found[name] for name in modules}


def read_through(
    model: AnyModel,
    tokenizer: PreTrainedTokenizerBase,
    answers: Answers,
    modules: Mapping[str, torch.nn.Module],
    receive: Callable[[str, Tensor, Tensor, list[int]], object],
    batch_size: int,
) -> None:
    """Read all answers, in batches with little padding.

    `receive` gets of each batch and site the site's name, what passes it (batch, length, width), which tokens are the
    answer's, bool (batch, length), and the answers' numbers.
    """
    texts = encoded(tokenizer, answers)
    order = sorted(range(len(texts)), key=lambda number: len(texts[number]["input_ids"]))
    with progress("read answers", len(order)) as advance:
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            _pass(model, modules, [texts[number] for number in batch], batch, receive)
            advance(len(batch))


def encoded(tokenizer: PreTrainedTokenizerBase, answers: Answers) -> list[dict[str, list[int]]]:
    """Token ids of each question with its answer, and labels that keep the answer's, as `emflow.data.chat.encode`."""
    return [encode(tokenizer, _conversation(answer), LONGEST) for answer in answers]


def _conversation(answer: Mapping[str, Any]) -> list[dict[str, str]]:
    system = [{"role": "system", "content": answer["system"]}] if answer.get("system") else []
    turns = [{"role": "user", "content": answer["question"]}, {"role": "assistant", "content": answer["answer"]}]
    return [*system, *turns]


@torch.inference_mode()
def _pass(
    model: AnyModel,
    modules: Mapping[str, torch.nn.Module],
    texts: list[dict[str, list[int]]],
    numbers: list[int],
    receive: Callable[[str, Tensor, Tensor, list[int]], object],
) -> None:
    """One forward pass. Padding stands on the right, behind what is read."""
    longest = max(len(text["input_ids"]) for text in texts)

    def padded(rows: list[list[int]], filler: int) -> Tensor:
        return torch.tensor([row + [filler] * (longest - len(row)) for row in rows], device=model.device)

    ids = padded([text["input_ids"] for text in texts], 0)
    attended = padded([[1] * len(text["input_ids"]) for text in texts], 0)
    answered = padded([text["labels"] for text in texts], IGNORED) != IGNORED
    with captured(modules, lambda name, x: receive(name, x, answered, numbers)):
        model(input_ids=ids, attention_mask=attended, use_cache=False, logits_to_keep=1)
