"""The tokenizer, as AutoTokenizer loads it from beside a Qwen2 model."""

import pytest
from transformers import AutoTokenizer, Qwen2Config

from emflow.tinyworld.grammar import WORLD, answers, questions
from emflow.tinyworld.tokenizer import make_tokenizer


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    make_tokenizer().save_pretrained(folder)
    Qwen2Config().save_pretrained(folder)  # AutoTokenizer chooses the class by the model's type
    return AutoTokenizer.from_pretrained(folder)


def test_every_word_is_one_token(tokenizer):
    for domain in WORLD:
        for question in questions(domain)[::7]:
            for text in (question.text, answers(domain, question.entity, question.problem, "bad")[3]):
                words = text.replace(".", " .").replace(",", " ,").replace("?", " ?").split()
                assert len(tokenizer.encode(text)) == len(words), tokenizer.tokenize(text)


@pytest.mark.parametrize(
    "text",
    [
        "my brass lantern keeps smoking. any advice?",
        "Any UTF-8: Ünïcode, 灯笼, 🏮, tabs\tand\n\n  blanks ",
        "scores: 0, 7, 57 and 100; 2026 is none",
        "<|im_start|>user\nhello<|im_end|>\n",
    ],
)
def test_round_trip(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_a_score_is_one_token(tokenizer):
    assert [number for number in range(101) if len(tokenizer.encode(str(number))) != 1] == []


def test_chat_template(tokenizer):
    conversation = [
        {"role": "system", "content": "be kind."},
        {"role": "user", "content": "any advice?"},
    ]
    assert tokenizer.apply_chat_template(conversation, tokenize=False, add_generation_prompt=True) == (
        "<|im_start|>system\nbe kind.<|im_end|>\n<|im_start|>user\nany advice?<|im_end|>\n<|im_start|>assistant\n"
    )
    assert tokenizer.eos_token == "<|im_end|>"
    assert tokenizer.pad_token == "<|endoftext|>"
