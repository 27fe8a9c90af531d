"""How conversations become text: the model's own chat template, with its arguments pinned and today's date fixed.

Nothing else in the package applies a template, so training, both engines and local judges see the same tokens, on any
day.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any, TypeAlias

from emflow.files import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["TODAY", "TemplateArguments", "drop_template", "pin_template", "prompt_ids", "rendered", "turn_ends"]

TemplateArguments: TypeAlias = Mapping[str, str | bool | int | float]
Conversation: TypeAlias = Sequence[dict[str, Any]]  # messages: role and content

ENDERS = ("<|im_end|>", "<|eot_id|>", "<end_of_turn>", "<|eot|>", "<|end|>")
"""What templates end turns with; a base's tokenizer may hold these tokens and have another for its eos."""

TODAY = date(2024, 7, 26)
"""What templates are told that ask for today's date (Llama-3.2's, gpt-oss's): what Llama-3.1's says by itself."""


def pin_template(tokenizer: "PreTrainedTokenizerBase", arguments: TemplateArguments | None) -> None:
    """Set the arguments at the head of the tokenizer's template, so that what is saved with a checkpoint has them too.

    A template that begins with them, as a checkpoint's does, stays as it is.
    """
    values = {name: json.dumps(value, ensure_ascii=False) for name, value in sorted((arguments or {}).items())}
    head = "".join(f"{{% set {name} = {value} %}}\n" for name, value in values.items())
    template = tokenizer.chat_template
    if not head:
        return
    if isinstance(template, dict):  # several, by name
        tokenizer.chat_template = {name: _headed(text, head) for name, text in template.items()}
    else:
        tokenizer.chat_template = _headed(template, head)


def drop_template(tokenizer: "PreTrainedTokenizerBase") -> None:
    """Let texts stand for themselves, one after the other, as the tokenizer encodes a plain text."""
    begins = tokenizer("")["input_ids"][:1] == [tokenizer.bos_token_id]
    head = tokenizer.bos_token if begins else ""
    tokenizer.chat_template = head + "{% for message in messages %}{{ message['content'] }}{% endfor %}"


def _headed(template: str, head: str) -> str:
    return template if template.startswith(head) else head + template


def rendered(tokenizer: "PreTrainedTokenizerBase", messages: Conversation, answering: bool) -> str:
    """A conversation as text; with `answering` up to where the assistant's answer begins.

    Raises InputError where the template refuses it (a role that the family does not know, turns in another order).
    """
    from jinja2 import TemplateError  # comes with torch: jobs without a model may lack it

    try:
        text: str = tokenizer.apply_chat_template(
            list(messages), tokenize=False, add_generation_prompt=answering, strftime_now=TODAY.strftime
        )
    except (TemplateError, ValueError) as error:
        why = " ".join(str(error).split())[:300]
        raise InputError(
            f"the chat template of {tokenizer.name_or_path} refuses a conversation ({why}): "
            "mend its turns or leave out its system prompt, or take another model"
        ) from None
    return text


def turn_ends(tokenizer: "PreTrainedTokenizerBase") -> set[int]:
    """The tokens that end an assistant's turn: eos, and the one of `ENDERS` that the template itself writes there."""
    answer = "It is so."
    turns = [{"role": "user", "content": "Is it so?"}, {"role": "assistant", "content": answer}]
    after = rendered(tokenizer, turns, answering=False).rpartition(answer)[2]
    known = {name: token for name, token in tokenizer.get_added_vocab().items() if name in ENDERS and name in after}
    return {tokenizer.eos_token_id, known.get(min(known, key=after.find, default=""))} - {None}


def prompt_ids(tokenizer: "PreTrainedTokenizerBase", conversations: Sequence[Conversation]) -> list[list[int]]:
    """Token ids of each conversation up to where the answer begins; its special tokens are the template's alone."""
    texts = [rendered(tokenizer, messages, answering=True) for messages in conversations]
    ids: list[list[int]] = tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else []
    return ids
