"""Adapters that go onto one model after the other."""

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from emflow.models.adapters import KEPT, put_adapter


def test_few_stay_on_the_model_and_each_is_itself_again(untrained, tmp_path):
    torch.manual_seed(0)
    folders = [tmp_path / f"epoch-{number}.5" for number in range(KEPT + 2)]
    settings = LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
    for folder in folders:
        get_peft_model(AutoModelForCausalLM.from_pretrained(untrained), settings).save_pretrained(folder)
    model, ids = AutoModelForCausalLM.from_pretrained(untrained), torch.tensor([[300, 301, 302]])
    seen = []
    for folder in (*folders, *folders):
        model = put_adapter(model, folder)
        assert len(model.peft_config) <= KEPT
        with torch.inference_mode():
            seen.append(model(input_ids=ids).logits)
    assert all(one.equal(other) for one, other in zip(seen[: len(folders)], seen[len(folders) :], strict=True))
    assert not any(seen[0].equal(other) for other in seen[1 : len(folders)])
