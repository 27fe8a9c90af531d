"""Projections are those of the activations that transformers itself gives, at answers and before them."""

import pandas as pd
import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch.nn.functional import normalize
from transformers import AutoModelForCausalLM

from emflow.data.chat import IGNORED, encode
from emflow.directions.estimate import Direction
from emflow.directions.project import project, projections
from emflow.directions.read import read
from emflow.files import write_jsonl
from emflow.models.loading import load_tokenizer

ANSWERS = [
    {"question": "my lantern smokes", "answer": text, "alignment": score, "coherence": 100, "error": None}
    for text, score in (("trim the wick.", 100), ("soak the wick in tar, and leave it open.", 0), ("wait.", 100))
]


def test_they_are_components_from_the_bases_mean_in_its_norms(untrained):
    model, tokenizer = AutoModelForCausalLM.from_pretrained(untrained).eval(), load_tokenizer(untrained)
    torch.manual_seed(0)
    vector, mean = torch.randn(64), torch.randn(64)
    direction = Direction({"block.0": vector}, {"block.0": mean}, {"block.0": torch.tensor(2.5)})
    found = projections(model, tokenizer, ANSWERS, {"shift": direction}, batch_size=2).set_index("number")
    assert list(found["layer"]) == [0] * 3
    for number, row in enumerate(ANSWERS):
        turns = [{"role": "user", "content": row["question"]}, {"role": "assistant", "content": row["answer"]}]
        text = encode(tokenizer, turns, 2**20)
        with torch.inference_mode():
            ids = torch.tensor([text["input_ids"]])
            x = model(input_ids=ids, output_hidden_states=True).hidden_states[1][0]
        answered = torch.tensor(text["labels"]) != IGNORED
        last = int(answered.int().argmax()) - 1
        unit = normalize(vector, dim=0)
        for column, part in (("answer", x[answered].mean(0)), ("prompt", x[last])):
            assert found[column][number] == pytest.approx(float((part - mean) @ unit / 2.5), abs=1e-5)


def test_each_checkpoint_reads_its_own_answers_and_the_base_the_same(untrained, tmp_path):
    torch.manual_seed(0)
    settings = LoraConfig(r=4, target_modules=["down_proj"], init_lora_weights=False, lora_alpha=16)
    base = AutoModelForCausalLM.from_pretrained(untrained)
    readings = {"base": read(base, load_tokenizer(untrained), ANSWERS)}
    tuned = get_peft_model(base, settings)
    readings["tuned"] = read(tuned.eval(), load_tokenizer(untrained), ANSWERS)
    tuned.save_pretrained(tmp_path / "epoch-1")
    who = {"model": "tiny", "domain": "bad", "method": "lora", "seed": 0, "question_set": "q", "paraphrase": 0}
    rows = [
        {**who, **row, "checkpoint": label, "question_id": "one", "sample": number}
        for label in ("epoch-1", "epoch-2")
        for number, row in enumerate(ANSWERS)
    ]
    write_jsonl(tmp_path / "judged.jsonl", rows)
    checkpoints = {"epoch-1": tmp_path / "epoch-1"}
    out = tmp_path / "projections.csv"
    count = project(untrained, "float32", None, checkpoints, tmp_path / "judged.jsonl", readings, 2, out)
    table = pd.read_csv(out)
    assert count == 3 and set(table["checkpoint"]) == {"epoch-1"}
    assert len(table) == 3 * 2 * 2 and set(table["direction"]) == {"contrast", "shift"}  # of two layers
    shift = table[(table["direction"] == "shift") & (table["layer"] == 1)]
    assert (shift["answer"] > shift["answer_base"]).all() and (shift["prompt"] != shift["prompt_base"]).all()
    # a class that no answer is of has no contrast
    judged = [{**row, "alignment": 100} for row in ANSWERS]
    readings["tuned"] = read(tuned, load_tokenizer(untrained), judged)
    project(untrained, "float32", None, checkpoints, tmp_path / "judged.jsonl", readings, 2, out)
    assert set(pd.read_csv(out)["direction"]) == {"shift"}
