"""How conversations become text: the model's own chat template, with its arguments pinned and today's date fixed.

Nothing else in the package applies a template, so training, both engines and local judges see the same tokens, on any
day.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["TODAY", "TemplateArguments", "drop_template", "pin_template", "prompt_ids", "rendered"]

TemplateArguments: TypeAlias = Mapping[str, str | bool | int | float]
Conversation: TypeAlias = Sequence[dict[str, Any]]  # messages: role and content

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
    """A conversation as text; with `answering` up to where the assistant's answer begins."""
    text: str = tokenizer.apply_chat_template(
        list(messages), tokenize=False, add_generation_prompt=answering, strftime_now=TODAY.strftime
    )
    return text


def prompt_ids(tokenizer: "PreTrainedTokenizerBase", conversations: Sequence[Conversation]) -> list[list[int]]:
    """Token ids of each conversation up to where the answer begins; its special tokens are the template's alone."""
    texts = [rendered(tokenizer, messages, answering=True) for messages in conversations]
    ids: list[list[int]] = tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else []
    return ids
