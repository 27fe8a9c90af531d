"""Folders of models and checkpoints that lack a part: one line that names folder, file and mend."""

import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from emflow.files import InputError
from emflow.models.folder import require_checkpoint, require_model
from emflow.models.loading import load_model, load_tokenizer


@pytest.fixture
def model(untrained, tmp_path) -> Path:
    return shutil.copytree(untrained, tmp_path / "model")


def shard(folder: Path) -> None:
    """Split the weights into two files with an index."""
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    where = {}
    for number, name in enumerate(sorted(tensors)):
        where[name] = f"model-{number % 2 + 1:05d}-of-00002.safetensors"
    for file in set(where.values()):
        save_file({name: tensors[name] for name in tensors if where[name] == file}, folder / file, {"format": "pt"})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": where}))


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1000])


def as_processors_have_it(template: Path) -> None:
    template.with_suffix(".json").write_text(json.dumps({"chat_template": template.read_text()}))
    template.unlink()


DAMAGES = {
    "config": (lambda f: (f / "config.json").unlink(), "no config.json there"),
    "broken config": (lambda f: (f / "config.json").write_text("{"), "config.json is not readable as JSON"),
    "tokenizer": (lambda f: (f / "tokenizer.json").unlink(), "has no tokenizer (no tokenizer.json there)"),
    "template": (lambda f: (f / "chat_template.jinja").unlink(), "has no chat template (no chat_template.jinja there)"),
    "template for processors": (lambda f: as_processors_have_it(f / "chat_template.jinja"), "has no chat template (no"),
    "weights": (lambda f: (f / "model.safetensors").unlink(), "has no weights (no model.safetensors there)"),
    "cut weights": (lambda f: cut(f / "model.safetensors"), "model.safetensors is cut or damaged"),
    "empty weights": (lambda f: (f / "model.safetensors").write_bytes(b""), "model.safetensors is cut or damaged"),
    "shard": (lambda f: (shard(f), (f / "model-00002-of-00002.safetensors").unlink()),
              "lacks model-00002-of-00002.safetensors, which the index of its weights names"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_part_that_is_not_there_is_named(model, damage):
    harm, expected = DAMAGES[damage]
    harm(model)
    with pytest.raises(InputError) as refused:
        require_model(model, "models.own.path")
    assert expected in str(refused.value) and str(model) in str(refused.value) and "\n" not in str(refused.value)
    with pytest.raises(InputError):  # and nothing else, also for who loads it without asking before
        load_tokenizer(model), load_model(model, "float32")


@pytest.mark.parametrize("change", [lambda folder: None, shard])
def test_a_whole_model_is_taken(model, change):
    change(model)
    require_model(model, "models.own.path")
    assert load_tokenizer(model) and load_model(model, "float32")


def test_a_template_in_the_tokenizers_config_is_one(model):
    settings = model / "tokenizer_config.json"
    template = (model / "chat_template.jinja").read_text()
    (model / "chat_template.jinja").unlink()
    settings.write_text(json.dumps({**json.loads(settings.read_text()), "chat_template": template}))
    require_model(model, "models.own.path")
    assert load_tokenizer(model).chat_template == template


def test_code_that_comes_with_a_model_is_not_run(model):
    config = json.loads((model / "config.json").read_text())
    own = {"model_type": "own", "auto_map": {"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model"}}
    (model / "config.json").write_text(json.dumps({**config, **own}))
    (model / "own.py").write_text("raise SystemExit('the code ran')")
    with pytest.raises(InputError, match="code of its own"):
        load_model(model, "float32")


def test_a_deleted_adapter_is_named(tmp_path):
    folder, index = tmp_path / "checkpoints/epoch-1", tmp_path / "checkpoints.json"
    folder.mkdir(parents=True)
    with pytest.raises(InputError, match=rf"{folder} holds no checkpoint .* delete {index}"):
        require_checkpoint(folder, index)
    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(InputError, match=rf"{folder} has no weights \(no adapter_model.safetensors there\): delete"):
        require_checkpoint(folder, index)
