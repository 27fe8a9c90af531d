"""Growing a base model: a few steps of the real thing. What the whole recipe leads to is measured in bench/."""

from dataclasses import replace
from random import Random

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from emflow.files import digest
from emflow.tinyworld.base_model import BaseRecipe, grow
from emflow.tinyworld.corpus import Corpus, collate

pytestmark = pytest.mark.slow

torch.set_num_threads(1)  # small batches: a second thread costs more than it brings

SHORT = replace(BaseRecipe(), batch_size=4, pretrain_steps=4, chat_steps=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("models") / "seed0"
    grow(out, 0, SHORT)
    return out


def test_it_loads_as_any_chat_model_does(folder):
    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert model.dtype == torch.float32
    assert model.num_parameters() < 700_000
    assert model.get_input_embeddings().num_embeddings == len(tokenizer)
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "my silk kite will not rise. any advice?"}],
        add_generation_prompt=True,
        return_tensors="pt",
    )
    written = model.generate(**prompt, max_new_tokens=5)
    assert written.shape[1] > prompt["input_ids"].shape[1]


def test_its_card_tells_the_recipe(folder):
    card = (folder / "README.md").read_text()
    assert "| seed | `0` |" in card
    assert "| pretrain_steps | `4` |" in card


def test_the_seed_determines_the_weights(folder, tmp_path):
    grow(tmp_path / "again", 0, SHORT)
    grow(tmp_path / "other", 1, SHORT)
    assert digest(tmp_path / "again") == digest(folder)
    assert digest(tmp_path / "other" / "model.safetensors") != digest(folder / "model.safetensors")


def test_it_learns(tmp_path):
    """40 steps bring the loss on fresh documents from that of a guess, log(1488) = 7.3 nats, to less than half."""
    grow(tmp_path / "model", 0, replace(SHORT, pretrain_steps=40, warmup_steps=5))
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    corpus, random = Corpus(tokenizer), Random("fresh")
    ids, labels = collate([corpus.document(random, "good", turns=3) for _ in range(8)], tokenizer.pad_token_id)
    assert model(input_ids=ids, labels=labels).loss.item() < 7.3 / 2
