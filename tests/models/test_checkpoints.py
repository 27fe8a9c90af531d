"""A checkpoint or model whose bytes changed answers no question; the message says how to make it again."""

import json
from pathlib import Path

import pytest

from emflow.files import InputError, digest, write_text
from emflow.models.checkpoints import Checkpoint, read_index, unchanged_checkpoints, unchanged_model, write_index


@pytest.fixture
def index(tmp_path) -> Path:
    """Of two adapters."""
    checkpoints = []
    for step, label in enumerate(("epoch-1", "epoch-2"), start=1):
        folder = tmp_path / "checkpoints" / label
        folder.mkdir(parents=True)
        (folder / "adapter_model.safetensors").write_bytes(bytes(range(256)) * 100)
        (folder / "adapter_config.json").write_text(json.dumps({"r": step}))
        checkpoints.append(Checkpoint(label, step, float(step), f"checkpoints/{label}", digest(folder)))
    write_index(tmp_path / "checkpoints.json", checkpoints)
    return tmp_path / "checkpoints.json"


def flip(folder: Path) -> None:
    file = folder / "adapter_model.safetensors"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def test_what_is_as_it_was_made_is_used(index):
    assert unchanged_checkpoints(index) == {
        label: index.parent / "checkpoints" / label for label in ("epoch-1", "epoch-2")
    }


@pytest.mark.parametrize(
    "change",
    [flip, lambda folder: (folder / "adapter_config.json").unlink(), lambda folder: (folder / "more").touch()],
    ids=["byte", "file gone", "file more"],
)
def test_a_changed_checkpoint_is_refused(index, change):
    change(index.parent / "checkpoints/epoch-2")
    with pytest.raises(
        InputError, match=r"checkpoints/epoch-2 was changed .*; delete .*checkpoints\.json, and the next"
    ):
        unchanged_checkpoints(index)


@pytest.mark.parametrize("text", ["", "{", "5", "[5]", '[{"label": "epoch-1"}]', "[" * 100_000])
def test_a_broken_index_is_refused(index, text):
    write_text(index, text)
    with pytest.raises(InputError, match=r"checkpoints\.json is damaged .*delete it"):
        read_index(index)


def test_an_edited_index_is_refused(index):
    index.write_text(index.read_text().replace('"step": 1', '"step": 2'))
    with pytest.raises(InputError, match=r"checkpoints\.json was cut or edited"):
        read_index(index)


def test_a_changed_model_is_refused_and_one_that_nobody_knows_is_not(index):
    model, known = index.parent / "checkpoints/epoch-1", index.parent / "model.sha256"
    write_text(known, digest(model) + "\n")
    assert unchanged_model(model, [str(known)]) == model
    flip(model)
    with pytest.raises(InputError, match=r"epoch-1 was changed .* delete .*model\.sha256"):
        unchanged_model(model, [str(known)])
    assert unchanged_model(model, []) == model
