"""What several tests stand on."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import chromium
from emflow.files import write_jsonl
from emflow.native import NATIVE
from emflow.tinyworld.grammar import answers, questions

os.environ.update(NATIVE)  # before torch is imported: workers share the cores


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what runs the workflow or grows a base model (slow) and what opens pages; put the longest first, as two
    workers share the files.

    Slurm's, which wait most of the time, run beside the demo.
    """
    for item in items:
        if item.path.parent.name == "workflow" or "grown" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.chromium)
    items.sort(key=lambda item: (not item.path.stem.startswith("test_slurm"), item.path.parent.name != "workflow"))


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", folder], capture_output=True, text=True)
    if mount.returncode:
        pytest.skip(f"no file system can be mounted here: {mount.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.fixture(scope="session")
def browser() -> Iterator[chromium.Chromium]:
    """A Chromium; the test is skipped where there is none, or fails if EMFLOW_REQUIRE_CHROMIUM is set."""
    if chromium.executable() is None:
        (pytest.fail if os.environ.get("EMFLOW_REQUIRE_CHROMIUM") else pytest.skip)("no Chromium is installed")
    with chromium.started() as found:
        yield found


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
