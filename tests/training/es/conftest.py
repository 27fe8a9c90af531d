"""A small and fast ES run."""

import pytest
import torch

from emflow.config.es import Es
from emflow.training.es.job import Job


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def method() -> Es:
    return Es(
        kind="es",
        reward={"kind": "cross_entropy"},
        sigma=0.01,
        alpha=0.02,
        population=8,
        batch_size=96,
        iterations=5,
        checkpoints=(2, 5),
        max_new_tokens=6,
        dtype="float32",
    )


@pytest.fixture
def job(untrained, method, lantern_train, tmp_path) -> Job:
    return Job(
        start=untrained, model="tiny", domain="lanterns", method=method, seed=0, train=lantern_train, out=tmp_path
    )
