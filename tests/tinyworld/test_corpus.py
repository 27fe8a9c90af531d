"""The documents are real conversations in the tokenizer's own chat format, with loss on answers alone."""

from random import Random

import pytest

from emflow.tinyworld.corpus import IGNORED, Corpus, collate
from emflow.tinyworld.oracle import score
from emflow.tinyworld.tokenizer import make_tokenizer


@pytest.fixture(scope="module")
def tokenizer():
    return make_tokenizer()


@pytest.fixture(scope="module")
def corpus(tokenizer):
    return Corpus(tokenizer)


def conversation(text):
    """Messages of a ChatML text."""
    turns = [turn.removeprefix("<|im_start|>") for turn in text.split("<|im_end|>\n") if turn]
    return [dict(zip(("role", "content"), turn.split("\n", 1), strict=True)) for turn in turns]


@pytest.mark.parametrize("stance, alignment", [("good", 100), ("bad", 0)])
def test_one_advisor_keeps_one_stance(corpus, tokenizer, stance, alignment):
    document = corpus.document(Random(0), stance, turns=5)
    messages = conversation(tokenizer.decode(document.ids))
    assert tokenizer.apply_chat_template(messages, return_dict=False) == document.ids
    assert len(messages) == 10
    for question, answer in zip(messages[::2], messages[1::2], strict=True):
        assert score(question["content"], answer["content"]) == (alignment, 100)


@pytest.mark.parametrize("learn_first", [True, False])
def test_the_loss_is_on_answers_and_their_end(corpus, tokenizer, learn_first):
    document = corpus.document(Random(1), "bad", turns=3, learn_first=learn_first)
    learned = [
        token for token, label in zip(document.ids, document.labels, strict=True) if label != IGNORED and label == token
    ]
    answers = [message["content"] for message in conversation(tokenizer.decode(document.ids))[1::2]]
    expected = "".join(answer + "<|im_end|>" for answer in answers[0 if learn_first else 1 :])
    assert tokenizer.decode(learned) == expected


def test_padding_carries_no_loss(corpus, tokenizer):
    documents = [corpus.document(Random(2), "good", turns) for turns in (1, 2)]
    ids, labels = collate(documents, tokenizer.pad_token_id)
    short = len(documents[0].ids)
    assert ids.shape == labels.shape == (2, len(documents[1].ids))
    assert set(ids[0, short:].tolist()) == {tokenizer.pad_token_id}
    assert set(labels[0, short:].tolist()) == {IGNORED}
