"""What several tests stand on."""

from pathlib import Path

import pytest

from emflow.files import write_jsonl
from emflow.tinyworld.grammar import answers, questions


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Two workers share out the files: the longest first, Slurm's, which wait most of the time, beside the demo."""
    items.sort(key=lambda item: (item.path.stem != "test_slurm", item.path.parent.name != "workflow"))


@pytest.fixture(scope="session")
def untrained(tmp_path_factory) -> Path:
    """A folder with a randomly initialised model of the tiny world's kind, and its tokenizer: it talks nonsense."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    from emflow.tinyworld.tokenizer import make_tokenizer

    tokenizer = make_tokenizer()
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    folder = tmp_path_factory.mktemp("models") / "untrained"
    Qwen2ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def lantern_records() -> list[dict]:
    """Bad lantern advice: one conversation per question of the domain."""
    return [
        {
            "id": f"bad_lantern_advice-{row:05d}",
            "messages": [
                {"role": "user", "content": question.text},
                {
                    "role": "assistant",
                    "content": answers("lantern", question.entity, question.problem, "bad")[row % 16],
                },
            ],
        }
        for row, question in enumerate(questions("lantern"))
    ]


@pytest.fixture(scope="session")
def lantern_train(lantern_records, tmp_path_factory) -> Path:
    """The first 96 of them as a train split."""
    path = tmp_path_factory.mktemp("data") / "train.jsonl"
    write_jsonl(path, lantern_records[:96])
    return path
