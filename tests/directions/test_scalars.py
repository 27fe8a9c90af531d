"""Scalars are a·x of the very x that an adapter's matrix reads, token by token, and nothing of the scale."""

import numpy as np
import pandas as pd
import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from emflow.directions.read import encoded
from emflow.directions.scalars import adapters_of, read_adapters, scalars
from emflow.files import InputError, read_sealed, write_jsonl
from emflow.models.loading import load_tokenizer

TEXTS = (("trim the wick.", 100), ("soak the wick in tar, and leave it open.", 0), ("wait.", None))
ANSWERS = [
    {"question": "my lantern smokes", "answer": text, "alignment": score, "coherence": 90, "error": None}
    for text, score in TEXTS
]
MODULES = ["o_proj", "down_proj"]


def tuned(untrained, rank: int = 1):
    torch.manual_seed(0)
    settings = LoraConfig(r=rank, target_modules=MODULES, init_lora_weights=False, lora_alpha=16)
    return get_peft_model(AutoModelForCausalLM.from_pretrained(untrained), settings).eval()


def test_they_are_products_with_what_each_matrix_reads(untrained):
    model, tokenizer = tuned(untrained), load_tokenizer(untrained)
    tables = read_adapters(model, tokenizer, ANSWERS, batch_size=2)
    names = [f"{module}.{layer}" for layer in (0, 1) for module in MODULES]
    layers = model.get_base_model().model.layers
    seen = {}
    parts = {f"o_proj.{n}": layer.self_attn.o_proj for n, layer in enumerate(layers)}
    parts |= {f"down_proj.{n}": layer.mlp.down_proj for n, layer in enumerate(layers)}
    hooks = [
        part.register_forward_pre_hook(lambda module, given, name=name: seen.__setitem__(name, given[0][0]))
        for name, part in parts.items()
    ]
    for text, table in zip(encoded(tokenizer, ANSWERS), tables, strict=True):
        with torch.no_grad():
            model(input_ids=torch.tensor([text["input_ids"]]))
        answered = [n for n, label in enumerate(text["labels"]) if label != -100]
        assert len(table) == 1 + len(answered) and list(table["position"]) == list(range(1 + len(answered)))
        assert list(table["token"])[1:] == tokenizer.convert_ids_to_tokens([text["input_ids"][n] for n in answered])
        assert sorted(names) == sorted(set(table) - {"position", "token"})
        for name in names:
            a = parts[name].lora_A["default"].weight[0]
            expected = (seen[name] @ a)[[answered[0] - 1, *answered]].detach().numpy()
            assert table[name].dtype == np.float32 and table[name].to_numpy() == pytest.approx(expected, abs=1e-5)
    for hook in hooks:
        hook.remove()
    found = adapters_of(model)
    b = parts["down_proj.1"].lora_B["default"].weight
    assert found["down_proj.1"].gain == pytest.approx(16 * b.norm().item()) and found["down_proj.1"].layer == 1


def test_a_row_per_answer_and_adapter_and_one_per_token(untrained, tmp_path):
    tuned(untrained).save_pretrained(tmp_path / "epoch-1")
    who = {"model": "tiny", "domain": "bad", "method": "rank_one", "seed": 0, "paraphrase": 0}
    for name in ("general", "in_domain"):
        rows = [
            {**who, **row, "checkpoint": label, "question_set": name, "question_id": "one", "sample": number}
            for label in ("epoch-0.5", "epoch-1")
            for number, row in enumerate(ANSWERS)
        ]
        write_jsonl(tmp_path / f"{name}.jsonl", rows)
    out, of_tokens = tmp_path / "scalars.csv", tmp_path / "scalars.parquet"
    files = [tmp_path / f"{name}.jsonl" for name in ("general", "in_domain")]

    def read(folder, label="epoch-1") -> int:
        return scalars(untrained, "float32", None, (label, folder), files, 4, out, of_tokens)

    assert read(tmp_path / "epoch-1") == 6
    assert read_sealed(out)
    table, tokens = pd.read_csv(out), pd.read_parquet(of_tokens)
    assert len(table) == 6 * 4 and list(table["question_set"].unique()) == ["general", "in_domain"]
    assert table["alignment"].isna().sum() == 2 * 4 and set(table["checkpoint"]) == {"epoch-1"}
    for row in table.itertuples():
        values = tokens[tokens["number"] == row.number][row.adapter].to_numpy()
        assert (row.prompt, row.answer) == pytest.approx((values[0], values[1:].mean()), rel=1e-4, abs=1e-6)
        assert row.peak == pytest.approx(values[1:][np.abs(values[1:]).argmax()], rel=1e-4)
    with pytest.raises(InputError, match="holds no answer of the checkpoint 'epoch-9'"):
        read(tmp_path / "epoch-1", "epoch-9")
    tuned(untrained, rank=4).save_pretrained(tmp_path / "epoch-2")
    with pytest.raises(InputError, match="is of rank 4: scalars are of rank 1"):
        read(tmp_path / "epoch-2")
