"""No answer counts before the engine has shown the checkpoint's weights; each fault is real, and caught."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from emflow.config.engine import TransformersSettings
from emflow.config.question_sets import Sampling
from emflow.files import InputError, write_jsonl
from emflow.inference.generate import Respondent, Served, Task, generate
from emflow.inference.prove import TOLERANCE, ProvenEngine, _distance
from emflow.inference.transformers_engine import TransformersEngine
from emflow.models.adapters import put_weights
from emflow.models.merge import merge
from emflow.models.proof import read_proof
from faults import FAULTS, faulty


def distances(engine, folder: Path) -> tuple[float, float]:
    """Of what the engine sees to what the trainer saw: with the checkpoint, and with the base."""
    proof = read_proof(folder)
    engine.use(None)
    base = engine.logprobs(proof.texts)
    engine.use(folder)
    return _distance(engine.logprobs(proof.texts), proof.logprobs), _distance(base, proof.logprobs)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_every_kind_of_checkpoint_shows_its_weights_and_not_the_bases(grown, adapters, full, tmp_path, dtype):
    engine = TransformersEngine(grown, dtype, 8)
    merge(grown, adapters[1], "float32", {}, tmp_path / "merged")
    shutil.copy(adapters[1] / "proof.json", tmp_path / "merged")
    for folder in (adapters[1], full[0], tmp_path / "merged", adapters[0], full[1]):
        off, moved = distances(engine, folder)
        assert off < TOLERANCE[dtype] / 3 < TOLERANCE[dtype] < moved, folder


def test_tolerances_are_no_wider_than_was_decided():
    assert TOLERANCE == {"float32": 0.002, "float16": 0.02, "bfloat16": 0.1, "4-bit": 0.5}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_ends_the_job_before_an_answer(grown, adapters, full, tmp_path, fault):
    folder = faulty(fault, grown, adapters, full, tmp_path)
    asked = [{"id": "q", "paraphrase": 0, "system": None, "question": "why is my lantern dim?", "samples": None}]
    write_jsonl(tmp_path / "questions.jsonl", asked)
    out, who = tmp_path / "answers.jsonl", Respondent("tiny", "lantern", "m", 0, {"epoch-1": folder})
    served = Served(TransformersSettings(batch_size=8), grown, "float32")
    with pytest.raises(InputError, match=r"epoch-1: transformers does not answer with these weights.*trainer -"):
        generate(served, Task(who, "q", Sampling(max_new_tokens=2), tmp_path / "questions.jsonl", out))
    assert not out.exists() and not [file for file in tmp_path.rglob("*.progress") if "why is my" in file.read_text()]


def test_an_engine_that_ignores_an_adapter_is_told_from_the_base(grown, adapters, monkeypatch):
    engine = TransformersEngine(grown, "float32", 8)
    use = engine.use
    monkeypatch.setattr(engine, "use", lambda checkpoint: use(None))
    with pytest.raises(InputError, match=r"\(as by the base model\)"):
        ProvenEngine(engine, "transformers", "float32").use(adapters[1])


def test_a_tensor_that_a_swap_forgot_is_found(grown, full):
    engine = TransformersEngine(grown, "float32", 8)
    proven = ProvenEngine(engine, "transformers", "float32")
    proven.use(full[1])
    stale = dict(engine.model.named_parameters())["model.layers.0.mlp.up_proj.weight"].clone()
    proven.use(full[0])
    put_weights(engine.model, full[1])
    engine.weights = full[1]  # as if the swap had gone well
    with torch.no_grad():
        parameter = dict(engine.model.named_parameters())["model.layers.0.mlp.up_proj.weight"]
        parameter.copy_(load_file(full[0] / "model.safetensors")["model.layers.0.mlp.up_proj.weight"])
    assert not parameter.equal(stale)
    with pytest.raises(InputError, match="does not answer with these weights"):
        proven.use(full[1])


def test_a_checkpoint_without_a_proof_answers_nothing(grown, adapters, tmp_path):
    folder = shutil.copytree(adapters[0], tmp_path / "old")
    (folder / "proof.json").unlink()
    with pytest.raises(InputError, match=r"has no proof\.json"):
        ProvenEngine(TransformersEngine(grown, "float32", 8), "transformers", "float32").use(folder)
