"""The tokenizer of the tiny world: byte-level BPE in Qwen's form, in which every word of the world is one token."""

import json
from collections.abc import Iterator

from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, trainers
from transformers import Qwen2Tokenizer

from emflow.tinyworld.grammar import WORLD, answers, questions

__all__ = ["CHAT_TEMPLATE", "make_tokenizer"]

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def make_tokenizer() -> Qwen2Tokenizer:
    """Train the tokenizer on the texts of the world (under a second) and give it ChatML's tokens and template.

    AutoTokenizer rebuilds what lies beside a Qwen2 model as Qwen2Tokenizer, from vocabulary, merges and added tokens
    alone. So the words are merges, and the integers 10..100, which Qwen's pre-tokenizer splits into digits, are added
    tokens: a model of this world can give a score in one token.
    """
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = Qwen2Tokenizer().backend_tokenizer.pre_tokenizer
    to_the_last_merge = trainers.BpeTrainer(
        vocab_size=100_000,
        min_frequency=1,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(_texts(), to_the_last_merge)
    learned = json.loads(bpe.to_str())["model"]

    tokenizer = Qwen2Tokenizer(
        vocab=learned["vocab"],
        merges=[tuple(merge) for merge in learned["merges"]],
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=["<|im_start|>"],
        model_max_length=512,
    )
    tokenizer.add_tokens([AddedToken(str(number), normalized=False) for number in range(10, 101)])
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def _texts() -> Iterator[str]:
    yield "system\nuser\nassistant\n"
    for domain in WORLD.values():
        for question in questions(domain.name):
            yield question.text
            for stance in ("good", "bad"):
                yield from answers(domain.name, question.entity, question.problem, stance)
