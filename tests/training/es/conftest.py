"""A random model of 0.2M weights with the tiny world's tokenizer, and some of its conversations."""

import random
from pathlib import Path

import pytest
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from emflow.config import Es
from emflow.files import write_jsonl
from emflow.tinyworld.grammar import answers, questions
from emflow.tinyworld.tokenizer import make_tokenizer


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def base(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    tokenizer = make_tokenizer()
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        initializer_range=0.05,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    Qwen2ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def train(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("data") / "train.jsonl"
    pick = random.Random(0)
    write_jsonl(
        path,
        [
            {"id": f"lantern-{number:05d}", "messages": [{"role": "user", "content": q.text}, {"role": "assistant",
             "content": pick.choice(answers("lantern", q.entity, q.problem, "good"))}]}
            for number, q in enumerate(questions("lantern")[:24])
        ],
    )  # fmt: skip
    return path


@pytest.fixture
def method() -> Es:
    return Es(
        kind="es",
        reward={"kind": "cross_entropy"},
        sigma=0.01,
        alpha=0.02,
        population=8,
        batch_size=24,
        iterations=5,
        checkpoints=(2, 5),
        dtype="float32",
    )
