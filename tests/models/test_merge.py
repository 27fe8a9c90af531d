"""Adapters: in the weights below it one answers as on top of them; two runs' are told apart whatever their labels."""

import json
import shutil

import pytest
import torch
from peft import LoraConfig, get_peft_model

from emflow.models.adapters import put_adapter
from emflow.models.loading import load_model, load_tokenizer
from emflow.models.merge import merge


@pytest.mark.parametrize("rslora", [True, False])
def test_a_merged_model_is_the_base_with_its_adapter(untrained, tmp_path, rslora):
    torch.manual_seed(0)
    config = LoraConfig(
        r=4, lora_alpha=16, use_rslora=rslora, target_modules=["q_proj", "down_proj"], init_lora_weights=False
    )
    get_peft_model(load_model(untrained, "float32"), config).save_pretrained(tmp_path / "adapter")
    merge(untrained, tmp_path / "adapter", "float32", {}, tmp_path / "merged")
    ids = torch.arange(20)[None]
    base = load_model(untrained, "float32")
    plain = base(ids).logits
    adapted = put_adapter(base, tmp_path / "adapter")(ids).logits
    merged = load_model(tmp_path / "merged", "float32")(ids).logits
    assert torch.allclose(merged, adapted, atol=1e-5) and not torch.allclose(merged, plain, atol=1e-2)
    assert load_tokenizer(tmp_path / "merged").chat_template == load_tokenizer(untrained).chat_template


@pytest.mark.parametrize("habits", [{"temperature": 0.6}, {"top_p": 0.9, "do_sample": False}, {"top_k": 20}])
def test_a_base_that_samples_without_saying_so_can_be_saved(untrained, tmp_path, habits):
    base = shutil.copytree(untrained, tmp_path / "base")
    config = json.loads((base / "generation_config.json").read_text())
    (base / "generation_config.json").write_text(json.dumps({**config, **habits}))
    load_model(base, "float32").save_pretrained(tmp_path / "saved")
    saved = json.loads((tmp_path / "saved" / "generation_config.json").read_text())
    assert saved.items() >= {**config, **habits, "do_sample": True}.items()


def test_checkpoints_of_two_runs_with_one_label_are_two_adapters(untrained, tmp_path):
    ids, folders = torch.arange(20)[None], [tmp_path / run / "epoch-0.5" for run in "ab"]
    for seed, folder in enumerate(folders):
        torch.manual_seed(seed)
        config = LoraConfig(r=4, target_modules=["q_proj"], init_lora_weights=False)
        get_peft_model(load_model(untrained, "float32"), config).save_pretrained(folder)
    alone = [put_adapter(load_model(untrained, "float32"), folder)(ids).logits for folder in folders]
    assert not torch.allclose(*alone)
    model = load_model(untrained, "float32")
    for folder, logits in zip([*folders, *folders], [*alone, *alone], strict=True):
        model = put_adapter(model, folder)
        assert torch.equal(model(ids).logits, logits)
