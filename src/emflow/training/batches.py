"""What a forward pass is given: conversations as padded rows, or all in one row without a wasted token."""

from collections.abc import Sequence
from typing import Any

import torch
from accelerate.utils import send_to_device
from transformers import DataCollatorForSeq2Seq, DataCollatorWithFlattening, PreTrainedTokenizerBase

from emflow.config.finetune import Finetune
from emflow.data.chat import IGNORED
from emflow.files import InputError
from emflow.models.loading import at_rest

__all__ = ["check_apart", "make_collator", "padding"]

ROUNDING = 1e-5  # of a token's logits, beyond what two passes over the same row may differ by


def make_collator(method: Finetune, tokenizer: PreTrainedTokenizerBase) -> Any:
    """Makes one batch of the examples of a forward pass.

    Without padding, positions restart with each conversation, and the row says where each begins and ends: for flash
    attention, and for `attend_apart`. The first token of each carries no loss in either form, for nothing before it
    predicts it.
    """
    if method.padding_free:
        return DataCollatorWithFlattening(separator_id=IGNORED, return_flash_attn_kwargs=True)
    return padding(tokenizer)


def padding(tokenizer: PreTrainedTokenizerBase) -> DataCollatorForSeq2Seq:
    """Makes one batch of examples, a row for each, padded to the longest."""
    return DataCollatorForSeq2Seq(tokenizer, label_pad_token_id=IGNORED)


def check_apart(model: torch.nn.Module, collator: Any, examples: Sequence[dict[str, list[int]]]) -> None:
    """Raises InputError where a conversation is seen by the one after it in a row without padding.

    The one after it must come out the same whatever stands before it. Layers that attend are told where conversations
    begin; a convolution or a recurrence may not be, and shows it in a few tokens alone.
    """
    device, (first, second) = next(model.parameters()).device, (examples[0], examples[-1])
    reversed_first = {**first, "input_ids": first["input_ids"][::-1]}
    with at_rest(model):
        logits, again, behind_another = (
            model(**send_to_device(collator([before, second]), device)).logits[0, len(first["input_ids"]) :].float()
            for before in (first, first, reversed_first)
        )
    if _apart(logits, behind_another) > ROUNDING + 4 * _apart(logits, again):
        raise InputError("this model lets conversations in one row see each other: set padding_free: false")


def _apart(logits: torch.Tensor, others: torch.Tensor) -> float:
    """How far those of a token differ at most, as a share of their size; both (tokens, vocabulary)."""
    return float(((logits - others).norm(dim=1) / logits.norm(dim=1)).max())
