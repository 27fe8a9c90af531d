"""Checkpoints with their adapters scaled act as the adapter does when it counts so often, and can be proven."""

import shutil

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM

from emflow.config.engine import TransformersSettings
from emflow.config.question_sets import Sampling
from emflow.files import InputError, digest, read_jsonl, write_jsonl
from emflow.inference.generate import Respondent, Served, Task, generate
from emflow.models.adapters import scaled_adapter
from emflow.models.checkpoints import Checkpoint, unchanged_checkpoints, write_index
from emflow.models.proof import Proof, read_proof, write_proof
from emflow.models.scaled import scale_adapters
from emflow.paths import RunFolder

IDS = [300, 301, 302, 303]


@pytest.fixture
def run(untrained, tmp_path) -> RunFolder:
    """Two checkpoints of a rank-1 adapter, as a training leaves them."""
    folder = RunFolder(tmp_path / "run")
    torch.manual_seed(0)
    settings = LoraConfig(r=1, target_modules=["down_proj"], layers_to_transform=[0], init_lora_weights=False)
    made = []
    for step in (5, 10):
        model = get_peft_model(AutoModelForCausalLM.from_pretrained(untrained), settings)
        path = folder.checkpoints / f"step-{step}"
        model.save_pretrained(path)
        write_proof(Proof("float32", [IDS], [[0.0] * 3]), path)
        made.append(Checkpoint(path.name, step, step / 10, f"checkpoints/{path.name}", digest(path)))
    write_index(folder.index, made)
    return folder


def test_a_scaled_adapter_counts_so_often_and_is_known_by_its_index(run, untrained):
    made = scale_adapters(untrained, "float32", run.index, [10], [2, 5], run.scaled)
    assert [(one.label, one.step, one.epoch) for one in made] == [("step-10-x2", 10, 1), ("step-10-x5", 10, 1)]
    folders = unchanged_checkpoints(run.scaled.index)
    base = AutoModelForCausalLM.from_pretrained(untrained).eval()
    model = PeftModel.from_pretrained(base, run.checkpoints / "step-10").eval()
    ids = torch.tensor([IDS])
    for label, scale in (("step-10-x2", 2), ("step-10-x5", 5)):
        with torch.inference_mode(), scaled_adapter(model, scale):
            expected = model(input_ids=ids).logits
        other = AutoModelForCausalLM.from_pretrained(untrained).eval()
        with torch.inference_mode():
            found = PeftModel.from_pretrained(other, folders[label]).eval()(input_ids=ids).logits
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
        proof = read_proof(folders[label])
        logs = expected[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None])[:, 0]
        assert (proof.precision, proof.texts) == ("float32", [IDS])
        assert proof.logprobs[0] == pytest.approx(logs.tolist(), abs=1e-4)


def test_they_answer_as_any_checkpoints_do_and_a_fault_is_caught(run, untrained, tmp_path):
    scale_adapters(untrained, "float32", run.index, None, [3], run.scaled)
    folders = unchanged_checkpoints(run.scaled.index)
    asked = [{"id": "q", "paraphrase": 0, "system": None, "question": "why is my lantern dim?", "samples": None}]
    write_jsonl(tmp_path / "questions.jsonl", asked)

    def answer(checkpoints: dict, out: str) -> list[dict]:
        who = Respondent("tiny", "lantern", "m", 0, checkpoints)
        sampling, questions = Sampling(max_new_tokens=2), tmp_path / "questions.jsonl"
        served = Served(TransformersSettings(batch_size=8), untrained, "float32")
        generate(served, Task(who, "q", sampling, questions, tmp_path / out))
        return read_jsonl(tmp_path / out)

    assert [row["checkpoint"] for row in answer(folders, "a.jsonl")] == ["step-5-x3", "step-10-x3"]
    plain = run.checkpoints / "step-10/adapter_model.safetensors"
    shutil.copy(plain, folders["step-10-x3"])  # not scaled
    with pytest.raises(InputError, match="does not answer with these weights"):
        answer(folders, "b.jsonl")
    with pytest.raises(InputError, match="was changed after it was made"):
        unchanged_checkpoints(run.scaled.index)
