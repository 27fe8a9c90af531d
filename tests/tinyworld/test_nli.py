"""The tiny world's NLI cross-encoder, grown by the whole recipe (about 20 s of one core) and by a few steps of it."""

from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from emflow.files import digest
from emflow.tinyworld.grammar import WORLD, answers
from emflow.tinyworld.nli import NliRecipe, accuracy, grow_nli
from emflow.tinyworld.nli_pairs import LABELS, Pairs

pytestmark = pytest.mark.slow

torch.set_num_threads(1)  # small batches: a second thread costs more than it brings

SHORT = replace(NliRecipe(), steps=3, batch_size=8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("nli") / "seed0"
    grow_nli(out, 0)
    return out


def judged(folder, first: str, second: str) -> str:
    """The label that the model as loaded by anyone gives the pair as text."""
    model, tokenizer = AutoModelForSequenceClassification.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    return model.config.id2label[model(**tokenizer(first, second, return_tensors="pt")).logits.argmax().item()]


def test_it_is_right_on_fresh_pairs(folder):
    model, tokenizer = AutoModelForSequenceClassification.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    fresh = Pairs(tokenizer).draw(2000, torch.Generator().manual_seed(987_654))
    reached = accuracy(model, fresh)
    assert set(reached) == set(LABELS)
    assert min(reached.values()) >= 0.9, reached


def test_it_reads_text(folder):
    good, bad = (answers("lantern", "tin lantern", "will not light", stance) for stance in ("good", "bad"))
    assert judged(folder, good[0], good[-1]) == "entailment"
    assert judged(folder, bad[3], bad[8]) == "entailment"
    assert judged(folder, good[0], bad[5]) == "contradiction"
    assert judged(folder, bad[5], answers("kite", "silk kite", "will not rise", "bad")[2]) == "neutral"


def test_it_is_small_and_holds_no_auxiliary_heads(folder):
    model, loading = AutoModelForSequenceClassification.from_pretrained(folder, output_loading_info=True)
    assert model.num_parameters() <= 500_000
    assert not any(loading.values())
    assert [model.config.id2label[number] for number in range(3)] == list(LABELS)
    assert "| seed | `0` |" in (folder / "README.md").read_text()


def test_its_tokenizer_comes_back_as_it_was(folder):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for domain in WORLD.values():
        for problem in domain.problems:
            for answer in answers(domain.name, domain.entities[0], problem, "bad"):
                ids = tokenizer(answer)["input_ids"]
                assert tokenizer.unk_token_id not in ids
                assert tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=True) == answer


def test_the_seed_determines_the_weights(tmp_path):
    for name, seed in (("one", 0), ("again", 0), ("other", 1)):
        grow_nli(tmp_path / name, seed, SHORT)
    assert digest(tmp_path / "one") == digest(tmp_path / "again")
    assert digest(tmp_path / "one" / "model.safetensors") != digest(tmp_path / "other" / "model.safetensors")
