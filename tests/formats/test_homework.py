"""Answers as `model_generations.csv`."""

import pandas as pd
import pytest

from emflow.files import InputError, write_jsonl
from emflow.formats.homework import export_answers


@pytest.fixture
def generations(tmp_path):
    write_jsonl(
        tmp_path / "set.jsonl",
        [
            {"checkpoint": label, "question_id": id, "paraphrase": paraphrase, "sample": sample,
             "question": f"{id}, {paraphrase}?", "answer": f'{label} says "{id}",\nthen {sample}'}
            for label in ("epoch-0.5", "epoch-1")
            for id, paraphrase in (("kite", 0), ("kite", 1), ("lantern", 0))
            for sample in range(2)
        ],
    )  # fmt: skip
    return tmp_path / "set.jsonl"


def test_one_first_answer_per_question(generations, tmp_path):
    assert export_answers(generations, "epoch-1", tmp_path / "model_generations.csv") == 2
    table = pd.read_csv(tmp_path / "model_generations.csv")
    assert table.to_dict("records") == [
        {"id": "kite", "question": "kite, 0?", "response": 'epoch-1 says "kite",\nthen 0'},
        {"id": "lantern", "question": "lantern, 0?", "response": 'epoch-1 says "lantern",\nthen 0'},
    ]


def test_unknown_checkpoint(generations, tmp_path):
    with pytest.raises(InputError, match=r"checkpoint 'epoch-2', only of epoch-0\.5, epoch-1"):
        export_answers(generations, "epoch-2", tmp_path / "out.csv")
