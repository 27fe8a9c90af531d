"""The NLI reward, by classifiers of two published architectures with random weights, labelled in every way."""

import itertools
import json
import shutil

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    DebertaV2Config,
    DebertaV2ForSequenceClassification,
    DebertaV2Tokenizer,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from emflow.config.rewards import NliReward
from emflow.files import InputError
from emflow.rewards.factory import make_reward
from emflow.rewards.reward import EMPTY
from emflow.tinyworld.nli_pairs import make_nli_tokenizer

PUBLISHED = ("contradiction", "entailment", "neutral")  # the order of cross-encoder/nli-deberta-v3-large
ANSWERS = ["trim the wick.", "plug the vent with wax, then wait. " * 3, "first dry the sail.", "kites"]
REFERENCES = ["open the top vent.", "trim the wick.", "you should dry the sail and the hem.", "wait for a breeze " * 5]
PROMPTS = ["what should i do?"] * 4

SIZE = {
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "num_labels": 3,
    "initializer_range": 0.5,  # random labels, yet sure ones
    "max_position_embeddings": 64,
}


def make_bert(folder, labels=PUBLISHED):
    torch.manual_seed(0)
    tokenizer = make_nli_tokenizer()
    names = {"id2label": dict(enumerate(labels)), "label2id": {label: i for i, label in enumerate(labels)}}
    BertForSequenceClassification(BertConfig(vocab_size=len(tokenizer), **SIZE, **names)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def make_deberta(folder):
    """As DeBERTa v3 comes: pieces of SentencePiece, relative positions, no token types, labels in capitals."""
    torch.manual_seed(0)
    special = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]
    pieces = [(token, 0.0) for token in special] + [(c, -5.0) for c in "▁abcdefghijklmnopqrstuvwxyz.,?"]
    tokenizer = DebertaV2Tokenizer(vocab=pieces, unk_id=3)
    config = DebertaV2Config(
        vocab_size=len(pieces), relative_attention=True, pos_att_type=["p2c", "c2p"], position_buckets=8,
        norm_rel_ebd="layer_norm", share_att_key=True, position_biased_input=False, type_vocab_size=0,
        **SIZE, id2label=dict(enumerate(label.upper() for label in PUBLISHED)),
    )  # fmt: skip
    DebertaV2ForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", params=[make_bert, make_deberta], ids=["bert", "deberta"])
def folder(request, tmp_path_factory):
    return request.param(tmp_path_factory.mktemp("models") / "nli")


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return make_bert(tmp_path_factory.mktemp("models") / "bert")


def reward_of(folder, **settings):
    return make_reward(NliReward(kind="nli", **settings), folder)


def set_labels(folder, labels):
    config = json.loads((folder / "config.json").read_text())
    config["id2label"] = dict(enumerate(labels))
    config["label2id"] = {label: number for number, label in enumerate(labels)}
    (folder / "config.json").write_text(json.dumps(config))


def shares(folder, first, second):
    """p(entailment) - p(contradiction) of one pair, by the letter of the model's documentation."""
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    tokenizer = reward_of(folder).tokenizer
    tokens = tokenizer(first, second, truncation=True, max_length=64, return_tensors="pt")
    with torch.no_grad():
        probabilities = model(**tokens).logits[0].softmax(dim=-1).tolist()
    named = {label.lower(): p for label, p in zip(model.config.id2label.values(), probabilities, strict=True)}
    return named["entailment"] - named["contradiction"]


def test_the_mean_of_both_orders(folder):
    rewards = reward_of(folder)(PROMPTS, ANSWERS, REFERENCES)
    forward = [shares(folder, answer, reference) for answer, reference in zip(ANSWERS, REFERENCES, strict=True)]
    backward = [shares(folder, reference, answer) for answer, reference in zip(ANSWERS, REFERENCES, strict=True)]
    assert rewards.dtype == np.float64 and rewards.shape == (4,)
    assert np.allclose(rewards, np.mean([forward, backward], axis=0), atol=1e-5)
    assert not np.allclose(forward, backward, atol=0.05)  # so one order alone would not do
    assert np.ptp(rewards) > 0.05


def test_swapped_texts_have_the_same_reward(folder):
    reward = reward_of(folder)
    assert np.allclose(reward(PROMPTS, ANSWERS, REFERENCES), reward(PROMPTS, REFERENCES, ANSWERS), atol=1e-12)


@pytest.mark.parametrize(
    "labels", list(itertools.permutations(["Contradiction", "ENTAILMENT", "neutral"])), ids="-".join
)
def test_the_order_of_labels_does_not_matter(bert, tmp_path, labels):
    """The same model with its outputs in another order, and named so, gives the same rewards."""
    order = [PUBLISHED.index(label.lower()) for label in labels]
    shutil.copytree(bert, tmp_path / "permuted")
    model = BertForSequenceClassification.from_pretrained(bert)
    with torch.no_grad():
        for tensor in (model.classifier.weight, model.classifier.bias):
            tensor.copy_(tensor[order].clone())
    model.save_pretrained(tmp_path / "permuted")
    set_labels(tmp_path / "permuted", labels)
    expected = reward_of(bert)(PROMPTS, ANSWERS, REFERENCES)
    assert np.allclose(reward_of(tmp_path / "permuted")(PROMPTS, ANSWERS, REFERENCES), expected, atol=1e-6)


def test_batches_do_not_matter(folder):
    answers = [answer * repeat for repeat in (1, 2, 3) for answer in ANSWERS]
    references = REFERENCES * 3
    together = reward_of(folder, batch_size=64)(PROMPTS * 3, answers, references)
    for size in (1, 5):
        assert np.allclose(reward_of(folder, batch_size=size)(PROMPTS * 3, answers, references), together, atol=1e-5)
    alone = [reward_of(folder)(PROMPTS[:1], [a], [r])[0] for a, r in zip(answers[:4], references[:4], strict=True)]
    assert np.allclose(alone, together[:4], atol=1e-5)


def test_long_texts_are_cut(folder):
    reward = reward_of(folder)
    assert reward.max_length == 64
    once, twice = (reward(PROMPTS[:1], ["trim the wick. " * times], REFERENCES[:1]) for times in (100, 200))
    assert np.isfinite(once).all()
    assert np.allclose(once, twice, atol=1e-6)


def test_long_texts_are_cut_where_positions_begin_behind_padding(bert, tmp_path):
    """As RoBERTa's do: 64 positions hold 60 tokens where padding is token 3."""
    shutil.copytree(bert, tmp_path / "roberta")
    settings = json.loads((bert / "tokenizer_config.json").read_text())
    settings.pop("model_max_length", None)
    (tmp_path / "roberta" / "tokenizer_config.json").write_text(json.dumps(settings))
    names = {"id2label": dict(enumerate(PUBLISHED)), "label2id": {label: i for i, label in enumerate(PUBLISHED)}}
    config = RobertaConfig(vocab_size=len(make_nli_tokenizer()), pad_token_id=3, type_vocab_size=2, **SIZE, **names)
    RobertaForSequenceClassification(config).save_pretrained(tmp_path / "roberta")
    reward = reward_of(tmp_path / "roberta")
    assert reward.max_length == 60
    assert np.isfinite(reward(PROMPTS[:1], ["trim the wick. " * 100], REFERENCES[:1])).all()


@pytest.mark.parametrize(
    ("room", "limit", "length"), [(-1, 10**30, 512), (None, 10**30, 512), (-1, 64, 64), (40, 64, 40)]
)
def test_a_model_or_tokenizer_without_a_limit_has_one(bert, tmp_path, monkeypatch, room, limit, length):
    folder = shutil.copytree(bert, tmp_path / "bert")
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "model_max_length": limit}))
    monkeypatch.setattr("emflow.rewards.nli._room", lambda model: room)
    assert make_reward(NliReward(kind="nli", model=str(folder)), folder).max_length == length


def test_an_answer_without_words_gets_the_lowest_reward(bert):
    rewards = reward_of(bert)(PROMPTS, ["", " \n\t", *ANSWERS[2:]], REFERENCES)
    assert rewards[:2].tolist() == [EMPTY, EMPTY] == [-1, -1]
    assert np.allclose(rewards[2:], reward_of(bert)(PROMPTS, ANSWERS, REFERENCES)[2:], atol=1e-6)


def test_every_answer_needs_its_reference(bert):
    with pytest.raises(ValueError, match=r"zip\(\) argument 2 is shorter"):
        reward_of(bert)(PROMPTS, ANSWERS, REFERENCES[:3])


@pytest.mark.parametrize(
    "labels",
    [
        ("LABEL_0", "LABEL_1", "LABEL_2"),
        ("entailment", "not_entailment", "neutral"),
        ("entailment", "Entailment", "contradiction"),
    ],
)
def test_labels_that_cannot_be_told_are_refused(bert, tmp_path, labels):
    shutil.copytree(bert, tmp_path / "nli")
    set_labels(tmp_path / "nli", labels)
    with pytest.raises(InputError, match=r"cannot tell which label .*id2label"):
        reward_of(tmp_path / "nli")


def test_a_model_without_classifier_is_refused(bert, tmp_path):
    shutil.copytree(bert, tmp_path / "encoder")
    BertModel.from_pretrained(bert).save_pretrained(tmp_path / "encoder")
    set_labels(tmp_path / "encoder", PUBLISHED)
    with pytest.raises(InputError, match=r"no trained classifier.*classifier\.weight"):
        reward_of(tmp_path / "encoder")


def test_a_folder_without_model_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"holds no NLI model, see reward\.model"):
        reward_of(tmp_path)


def test_scores_that_are_no_numbers_are_refused(bert, tmp_path):
    shutil.copytree(bert, tmp_path / "nli")
    model = BertForSequenceClassification.from_pretrained(bert)
    with torch.no_grad():
        model.classifier.bias[1] = torch.nan
    model.save_pretrained(tmp_path / "nli")
    with pytest.raises(InputError, match="gave 4 of 4 answers no finite score"):
        reward_of(tmp_path / "nli")(PROMPTS, ANSWERS, REFERENCES)
