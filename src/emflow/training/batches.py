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

TOLERANCE = 0.05  # of the logits' size: more than bfloat16 rounds, less than another conversation changes


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
    """Raises InputError where a conversation is seen by the one after it in a row without padding."""
    device = next(model.parameters()).device
    first, second = examples[0], examples[-1]
    with at_rest(model):
        single, packed = (
            model(**send_to_device(collator(row), device)).logits[0].float() for row in ([second], [first, second])
        )
    if (packed[len(first["input_ids"]) :] - single).norm() > TOLERANCE * single.norm():
        raise InputError("this model lets conversations in one row see each other: set padding_free: false")
