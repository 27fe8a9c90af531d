"""Proof that an engine answers with a checkpoint's weights: how likely some texts were to the model in training.

Every checkpoint stores the log-probability of each token of a few conversations of its train split, as its trainer saw
them when it was saved; an engine that has its weights in place sees the same (`emflow.inference.prove`).
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from emflow.files import InputError
from emflow.models.chat_template import rendered
from emflow.models.loading import at_rest

__all__ = ["Proof", "fixed_texts", "proof_by", "prove_by", "read_proof", "token_logprobs", "write_proof"]

FILE = "proof.json"
TEXTS, LENGTH = 3, 128  # conversations, and tokens of each


@dataclass(frozen=True)
class Proof:
    """What a checkpoint's trainer saw."""

    precision: str
    """Of the weights in training: float32, bfloat16, float16 or 4-bit."""
    texts: list[list[int]]
    """Token ids."""
    logprobs: list[list[float]]
    """Natural log-probability of each token but the first, given those before it."""


def fixed_texts(tokenizer: PreTrainedTokenizerBase, records: Iterable[dict[str, Any]]) -> list[list[int]]:
    """Token ids of the first few conversations, cut where they are long."""
    texts = [rendered(tokenizer, record["messages"], answering=False) for record in islice(records, TEXTS)]
    ids: list[list[int]] = tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else []
    return [text[:LENGTH] for text in ids]


def token_logprobs(model: torch.nn.Module, texts: Sequence[Sequence[int]]) -> list[list[float]]:
    """Natural log-probability of each token but the first, by a causal model as it is; its dropout rests meanwhile.

    One text at a time, without padding, so that nothing depends on a batch.
    """
    device, found = next(model.parameters()).device, []
    with at_rest(model):
        for text in texts:
            ids = torch.tensor([list(text)], device=device)
            scores = model(input_ids=ids, use_cache=False).logits[0, :-1].float().log_softmax(dim=-1)
            found.append([round(value, 6) for value in scores.gather(1, ids[0, 1:, None])[:, 0].tolist()])
    return found


def proof_by(model: torch.nn.Module, precision: str, texts: list[list[int]]) -> Proof:
    """What the model in training sees."""
    return Proof(precision, texts, token_logprobs(model, texts))


def prove_by(model: torch.nn.Module, precision: str, texts: list[list[int]], folder: Path) -> None:
    """Write what the model in training sees beside the weights that were just saved from it."""
    write_proof(proof_by(model, precision, texts), folder)


def write_proof(proof: Proof, folder: Path) -> None:
    """Beside the weights that were just saved from the model."""
    (folder / FILE).write_text(json.dumps(asdict(proof)) + "\n")


def read_proof(folder: Path) -> Proof:
    """A checkpoint's. Raises InputError where it has none."""
    try:
        return Proof(**json.loads((folder / FILE).read_text()))
    except (OSError, ValueError, TypeError):
        raise InputError(
            f"{folder} has no {FILE}, by which an engine shows that it answers with these weights: delete "
            "checkpoints.json of its run, and what needs it makes it again"
        ) from None
