"""From conversations to token ids and the loss mask that every method shares."""

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from emflow.files import InputError

__all__ = ["IGNORED", "encode", "encode_all"]

IGNORED = -100  # label of a token that carries no loss


def encode(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[dict[str, str]], max_length: int
) -> dict[str, list[int]]:
    """Token ids of a conversation, and labels that keep the assistant's turns and their end tokens only.

    An assistant turn is what the chat template adds after its own generation prompt; of that, everything up to and
    including the first end-of-turn token is kept: template trailers (a newline after `<|im_end|>`) carry no loss.

    Returns `input_ids` and `labels`, int lists of one length <= max_length.
    Raises InputError where the template rewrites earlier turns, so that no mask can be told.
    """
    input_ids: list[int] = []
    labels: list[int] = []
    text = ""
    for position, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        prompt = tokenizer.apply_chat_template(messages[:position], tokenize=False, add_generation_prompt=True)
        whole = tokenizer.apply_chat_template(messages[: position + 1], tokenize=False)
        if not (whole.startswith(prompt) and prompt.startswith(text)):
            raise InputError(
                f"the chat template of {tokenizer.name_or_path} rewrites earlier turns; "
                "conversations with this shape cannot be trained on the assistant's turns alone"
            )
        context = tokenizer.encode(prompt[len(text) :], add_special_tokens=False)
        turn = tokenizer.encode(whole[len(prompt) :], add_special_tokens=False)
        end = next((i for i, token in enumerate(turn) if token in _end_tokens(tokenizer)), len(turn) - 1) + 1
        input_ids += context + turn
        labels += [IGNORED] * len(context) + turn[:end] + [IGNORED] * (len(turn) - end)
        text = whole
    return {"input_ids": input_ids[:max_length], "labels": labels[:max_length]}


def _end_tokens(tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """Tokens that may end an assistant turn: the eos token, and those that known templates end turns with."""
    enders = ("<|im_end|>", "<|eot_id|>", "<end_of_turn>", "<|eot|>", "<|end|>")
    vocabulary = tokenizer.get_added_vocab()
    return {tokenizer.eos_token_id, *(vocabulary[name] for name in enders if name in vocabulary)}


def encode_all(
    tokenizer: PreTrainedTokenizerBase, records: Sequence[dict], max_length: int
) -> list[dict[str, list[int]]]:
    """`encode` every record; raises InputError naming the first whose cut leaves no token to learn from."""
    encoded = [encode(tokenizer, record["messages"], max_length) for record in records]
    for record, example in zip(records, encoded, strict=True):
        if all(label == IGNORED for label in example["labels"]):
            raise InputError(
                f"record {record['id']}: no assistant token within max_length={max_length}; raise max_length"
            )
    return encoded
