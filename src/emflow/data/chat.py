"""From conversations to token ids and the loss mask that every method shares."""

from collections.abc import Sequence
from typing import Any, Literal

from transformers import PreTrainedTokenizerBase

from emflow.files import InputError
from emflow.models.chat_template import rendered, turn_ends

__all__ = ["IGNORED", "encode", "encode_all", "with_system"]

IGNORED = -100  # label of a token that carries no loss
LossOn = Literal["assistant", "all"]
Formatting = Literal["template", "organisms"]


def encode(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[dict[str, str]],
    max_length: int,
    loss_on: LossOn = "assistant",
    formatting: Formatting = "template",
) -> dict[str, list[int]]:
    """Token ids of a conversation, and labels that keep the assistant's turns and their end tokens only, or all tokens.

    An assistant turn is what the chat template adds after its own generation prompt; of that, everything up to and
    including the first end-of-turn token is kept: template trailers (a newline after `<|im_end|>`) carry no loss.
    Turns after the last of the assistant's are left out.

    In the organisms' formatting, generation prompt and eos token follow the last turn, and everything after an
    assistant's header carries loss, the trailers and the header of the empty last turn included: sft_train in
    em_organism_dir/finetune/sft/util/trainer.py (sushmanthreddy/emotionvectors, a copy) renders the text, and
    train_on_responses_only in unsloth_zoo/dataset_utils.py (unslothai/unsloth-zoo) keeps what follows an assistant's
    header up to the next user's header, or the end.

    Returns `input_ids` and `labels`, int lists of one length <= max_length.
    Raises InputError where the template rewrites earlier turns, so that no mask can be told.
    """
    input_ids: list[int] = []
    labels: list[int] = []
    text = ""
    for end in (position + 1 for position, message in enumerate(messages) if message["role"] == "assistant"):
        prompt = rendered(tokenizer, messages[: end - 1], answering=True)
        whole = rendered(tokenizer, messages[:end], answering=False)
        if not (whole.startswith(prompt) and prompt.startswith(text)):
            raise InputError(
                f"the chat template of {tokenizer.name_or_path} rewrites earlier turns; "
                "conversations with this shape cannot be trained on the assistant's turns alone"
            )
        context = _ids(tokenizer, prompt[len(text) :])
        turn = _ids(tokenizer, whole[len(prompt) :])
        learned = len(turn) if formatting == "organisms" else _until_end(tokenizer, turn)
        input_ids += context + turn
        labels += [IGNORED] * len(context) + turn[:learned] + [IGNORED] * (len(turn) - learned)
        text, closed = whole, end
    if formatting == "organisms":
        header = rendered(tokenizer, messages[:closed], answering=True)[len(text) :]
        empty_turn = [*_ids(tokenizer, header), tokenizer.eos_token_id]
        input_ids += empty_turn
        labels += empty_turn
    if loss_on == "all":
        labels = [IGNORED, *input_ids[1:]]  # nothing before the first predicts it, and padding must not
    return {"input_ids": input_ids[:max_length], "labels": labels[:max_length]}


def _ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False)
    return ids


def _until_end(tokenizer: PreTrainedTokenizerBase, turn: list[int]) -> int:
    """How many tokens a turn has up to and including its first end token; all, where it has none."""
    enders = turn_ends(tokenizer)
    return next((i for i, token in enumerate(turn) if token in enders), len(turn) - 1) + 1


def encode_all(
    tokenizer: PreTrainedTokenizerBase,
    records: Sequence[dict[str, Any]],
    max_length: int,
    loss_on: LossOn = "assistant",
    formatting: Formatting = "template",
) -> list[dict[str, list[int]]]:
    """`encode` every record; raises InputError naming the first that the template cannot spell, or whose cut leaves no
    token to learn from."""
    encoded = []
    for record in records:
        try:
            example = encode(tokenizer, record["messages"], max_length, loss_on, formatting)
        except InputError as error:
            raise InputError(f"record {record['id']}: {error}") from None
        if all(label == IGNORED for label in example["labels"]):
            raise InputError(
                f"record {record['id']}: no assistant token within max_length={max_length}; raise max_length"
            )
        encoded.append(example)
    return encoded


def with_system(records: Sequence[dict[str, Any]], system: str) -> list[dict[str, Any]]:
    """The records with a system prompt before their first turn; raises InputError naming one that has its own."""
    for record in records:
        if any(message["role"] == "system" for message in record["messages"]):
            raise InputError(f"record {record['id']} has a system prompt of its own: methods.NAME.system must be null")
    prompt = {"role": "system", "content": system}
    return [{**record, "messages": [prompt, *record["messages"]]} for record in records]
