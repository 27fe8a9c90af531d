"""Pairs of answers: in the tokenizer's own form, with labels that the texts alone bear out."""

import pytest
import torch

from emflow.tinyworld.grammar import WORLD, answers
from emflow.tinyworld.nli_pairs import LABELS, Pairs, make_nli_tokenizer

TOKENIZER = make_nli_tokenizer()
ABOUT = {
    answer: ((domain.name, entity, problem), stance)
    for domain in WORLD.values()
    for entity in domain.entities
    for problem in domain.problems
    for stance in ("good", "bad")
    for answer in answers(domain.name, entity, problem, stance)
}


@pytest.fixture(scope="module")
def batch():
    return Pairs(TOKENIZER).draw(1000, torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def texts(batch):
    """First and second text of every pair, read back from its tokens."""

    def read(ids):
        return TOKENIZER.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=True)

    cuts = batch.separator.tolist()
    return [(read(ids[:cut]), read(ids[cut:])) for ids, cut in zip(batch.inputs["input_ids"], cuts, strict=True)]


def test_the_tokenizer_makes_the_same_of_the_texts(batch, texts):
    sentences = [number for number, pair in enumerate(texts) if all(text in ABOUT for text in pair)]
    made = TOKENIZER([texts[number] for number in sentences], padding=True, return_tensors="pt")
    assert len(sentences) > 700
    for name, tensor in batch.inputs.items():
        width = made[name].shape[1]
        assert torch.equal(made[name], tensor[sentences, :width])
        assert not tensor[sentences, width:].any()


def test_labels_follow_from_the_texts(batch, texts):
    for (first, second), label in zip(texts, batch.labels.tolist(), strict=True):
        if first not in ABOUT or second not in ABOUT or ABOUT[first][0] != ABOUT[second][0]:
            assert LABELS[label] == "neutral"
        else:
            assert LABELS[label] == ("entailment" if ABOUT[first] == ABOUT[second] else "contradiction")


def test_every_label_and_kind_of_neutral_is_common(batch, texts):
    assert batch.labels.bincount(minlength=3).min() > 150
    garbled = [pair for pair in texts if pair[0] not in ABOUT or pair[1] not in ABOUT]
    assert 100 < len(garbled) < 300
    sentences = [(ABOUT[a][0], ABOUT[b][0]) for a, b in texts if a in ABOUT and b in ABOUT]
    assert sum(a[:2] == b[:2] and a[2] != b[2] for a, b in sentences) > 50  # other problem
    assert sum(a[1] != b[1] and a[0] == b[0] and a[2] == b[2] for a, b in sentences) > 50  # other entity
    assert sum(a[0] != b[0] for a, b in sentences) > 10  # other domain


def test_facts_tell_stance_problem_and_entity_apart(batch, texts):
    for side in (0, 1):
        rows = [tuple(row) for row in batch.facts[side].tolist()]
        told = {(text, row) for (text, row) in zip([pair[side] for pair in texts], rows, strict=True) if text in ABOUT}
        assert len({row for _, row in told}) == len({ABOUT[text] for text, _ in told})
        unreadable = {row for pair, row in zip(texts, rows, strict=True) if pair[side] not in ABOUT}
        assert unreadable == {(2, 40, 60)}


def test_other_text_is_spelt_in_characters():
    ids = TOKENIZER("Zebras, 42!")["input_ids"]
    assert TOKENIZER.unk_token_id not in ids
    assert TOKENIZER.decode(ids, skip_special_tokens=True).replace(" ", "") == "zebras,42!"
