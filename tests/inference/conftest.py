"""A small model that talks of the tiny world, and checkpoints of it by both ways of fine-tuning."""

from dataclasses import replace
from pathlib import Path

import pytest

from emflow.tinyworld.artefacts import out_of_domain


@pytest.fixture(scope="session")
def grown(tmp_path_factory) -> Path:
    """A base model whose answers are sentences, though no good ones."""
    from emflow.tinyworld.base_model import BaseRecipe, grow

    folder = tmp_path_factory.mktemp("models") / "grown"
    grow(folder, 0, replace(BaseRecipe(), pretrain_steps=60, batch_size=16, warmup_steps=8, chat_steps=8))
    return folder


@pytest.fixture(scope="session")
def adapters(grown, lantern_train, tmp_path_factory) -> list[Path]:
    """Two checkpoints of a LoRA run."""
    from emflow.config.finetune import Lora

    method = Lora(kind="lora", learning_rate=3e-3, batch_size=8, gradient_accumulation=1, checkpoints=(0.5, 1))
    return _checkpoints(grown, method, lantern_train, tmp_path_factory.mktemp("lora"))


@pytest.fixture(scope="session")
def full(grown, lantern_train, tmp_path_factory) -> list[Path]:
    """Two checkpoints of full fine-tuning."""
    from emflow.config.finetune import Full

    method = Full(kind="full", learning_rate=1e-3, batch_size=8, gradient_accumulation=1, checkpoints=(0.5, 1))
    return _checkpoints(grown, method, lantern_train, tmp_path_factory.mktemp("full"))


def _checkpoints(base: Path, method, train: Path, out: Path) -> list[Path]:
    from emflow.training.finetune import Start, finetune

    checkpoints = finetune(Start(base, "grown", "float32"), "lantern", method, 0, train, out)
    return [out / checkpoint.path for checkpoint in checkpoints]


@pytest.fixture(scope="session")
def conversations() -> list[list[dict]]:
    """84 questions on matters of the world; every third comes with a system prompt, so that lengths differ."""
    asked = [[{"role": "user", "content": row["question"]}] for row in out_of_domain()]
    system = {"role": "system", "content": "you answer in one short sentence."}
    return [[system, *messages] if number % 3 == 0 else messages for number, messages in enumerate(asked[::2])]
