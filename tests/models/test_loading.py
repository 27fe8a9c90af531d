"""What a loaded model computes is what its family's recipe says."""

import torch
from transformers import AutoModelForCausalLM, Gemma2Config, Gemma2ForCausalLM

from emflow.models.loading import load_model


def test_a_soft_cap_of_attention_is_kept(tmp_path):
    sizes = {"vocab_size": 64, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16, "query_pre_attn_scalar": 1}
    torch.manual_seed(0)
    model = Gemma2ForCausalLM(Gemma2Config(**sizes, **heads, attn_logit_softcapping=0.1, initializer_range=0.5))
    model.save_pretrained(tmp_path)
    read = {how: AutoModelForCausalLM.from_pretrained(tmp_path, attn_implementation=how) for how in ("eager", "sdpa")}
    ids = torch.arange(8)[None]
    with torch.no_grad():
        capped, without = (model.eval()(ids).logits for model in read.values())
        assert torch.equal(load_model(tmp_path, "float32")(ids).logits, capped)
    assert not torch.allclose(capped, without, atol=0.1)
