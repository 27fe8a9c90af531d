"""Hooks on tiny random models of three families."""

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from emflow.files import InputError
from emflow.models.hooks import ablate, add, captured, changed, sites
from emflow.models.moments import Moments
from emflow.models.sites import layer_of

WIDTH, LAYERS = 16, 3
SHAPE = {
    "vocab_size": 40, "hidden_size": WIDTH, "intermediate_size": 24, "num_hidden_layers": LAYERS,
    "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8, "initializer_range": 0.3,
    "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2,
}  # fmt: skip
FAMILIES = {
    "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**SHAPE)),
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**SHAPE)),
    "gemma3": lambda: Gemma3ForCausalLM(Gemma3TextConfig(**SHAPE, sliding_window=4)),
}
IDS = torch.tensor([[5, 9, 17, 3, 30], [8, 8, 21, 7, 12]])


@pytest.fixture(params=[*FAMILIES, "qwen2 under peft"], scope="module")
def model(request):
    torch.manual_seed(0)
    base = FAMILIES[request.param.split()[0]]().eval()
    if "peft" not in request.param:
        return base
    adapted = get_peft_model(base, LoraConfig(r=2, target_modules=["q_proj", "down_proj"], init_lora_weights=False))
    return adapted.eval()


@pytest.fixture(scope="module")
def direction():
    return torch.randn(WIDTH, generator=torch.Generator().manual_seed(1))


@torch.inference_mode()
def seen(model, where, ids=IDS, **more):
    found = {}
    with captured(sites(model, where), found.__setitem__):
        found["logits"] = model(input_ids=ids, **more).logits
    return found


@torch.inference_mode()
def answers(model, ids=IDS, mask=None, tokens=6):
    mask = torch.ones_like(ids) if mask is None else mask
    return model.generate(
        input_ids=ids, attention_mask=mask, max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False
    )[:, ids.shape[1] :]


def test_capture_is_output_hidden_states_to_the_bit(model):
    found = seen(model, "blocks")
    with torch.inference_mode():
        hidden = model(input_ids=IDS, output_hidden_states=True).hidden_states
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    for layer in range(LAYERS - 1):
        assert torch.equal(found[f"block.{layer}"], hidden[layer + 1])
    # transformers gives the last one behind the final norm
    assert torch.equal(inner.get_decoder().norm(found[f"block.{LAYERS - 1}"]), hidden[-1])
    assert torch.equal(seen(model, "writes")["embedding"], hidden[0])


def test_writes_add_up_to_the_residual_stream(model):
    writes, blocks = seen(model, "writes"), seen(model, "blocks")
    total = torch.zeros_like(writes["embedding"])
    for name, write in writes.items():
        if name != "logits":
            total = total + write
        if name.startswith("mlp"):
            torch.testing.assert_close(total, blocks[f"block.{layer_of(name)}"])
    assert [layer_of(name) for name in ("embedding", "attention.2", "block.11")] == [-1, 2, 11]


@pytest.mark.parametrize("component", [0.0, 0.7])
@pytest.mark.parametrize("where", ["blocks", "writes"])
def test_ablation_leaves_the_component_at_every_position_of_every_layer(model, direction, where, component):
    names = [*sites(model, where)]
    unit = direction / direction.norm()
    with changed(model, {name: ablate(3 * direction, component) for name in names}):
        found = seen(model, where)
    for name in names:  # hooks that were there first come first: what is seen has been changed
        torch.testing.assert_close(found[name] @ unit, torch.full(IDS.shape, component), atol=1e-5, rtol=0)


def test_what_is_orthogonal_to_the_direction_stays(model, direction):
    plain = seen(model, "blocks")["block.0"]
    unit = direction / direction.norm()
    with changed(model, {"block.0": ablate(direction)}):
        found = seen(model, "blocks")["block.0"]
    torch.testing.assert_close(found, plain - (plain @ unit)[..., None] * unit)


def test_adding_nothing_and_removed_hooks_change_no_answer(model, direction):
    before, logits = answers(model), seen(model, "blocks")["logits"]
    nothing = {name: add(torch.zeros(WIDTH)) for where in ("blocks", "writes") for name in sites(model, where)}
    with changed(model, nothing):
        assert torch.equal(answers(model), before) and torch.equal(seen(model, "blocks")["logits"], logits)
    with changed(model, {"block.0": add(20 * direction), "block.2": ablate(direction)}):
        assert not torch.equal(seen(model, "blocks")["logits"], logits)
    with pytest.raises(RuntimeError), changed(model, {"block.0": add(20 * direction)}):
        raise RuntimeError
    assert torch.equal(answers(model), before) and torch.equal(seen(model, "blocks")["logits"], logits)


@pytest.mark.parametrize("positions", ["all", "prompt", "answer"])
def test_padding_and_batch_size_change_no_intervened_answer(model, direction, positions):
    """Several layers at once, in generation with left padding."""
    changes = {"block.0": add(2 * direction), "block.1": ablate(direction, 0.5)}
    padded = torch.tensor([[0, 0, 0, 5, 9], [8, 8, 21, 7, 12]])
    with changed(model, changes, positions):
        together = answers(model, padded, (padded != 0).long())
        apart = [answers(model, padded[:1, 3:]), answers(model, padded[1:])]
    assert torch.equal(together, torch.cat(apart))


def test_positions_are_the_prompt_and_what_is_generated_since(model, direction):
    """Counted at a site behind the change, token by token."""
    hits = {}
    for positions in ("prompt", "answer", "all"):
        hits[positions] = passed = []
        with (
            changed(model, {"block.1": lambda x: torch.full_like(x, 7.0)}, positions),
            captured(
                {"block.1": sites(model, "blocks")["block.1"]},
                lambda _, x, to=passed: to.extend((x == 7).all(-1)[0].tolist()),
            ),
        ):
            answers(model, tokens=3)
    prompt, answer = IDS.shape[1], 2  # the third token is drawn from the second's activations
    assert hits == {
        "prompt": [True] * prompt + [False] * answer,
        "answer": [False] * prompt + [True] * answer,
        "all": [True] * (prompt + answer),
    }


def test_a_mask_says_where_in_a_text(model, direction):
    mask = torch.zeros(IDS.shape, dtype=torch.bool)
    mask[0, 2:4] = mask[1, 4] = True
    plain = seen(model, "blocks")["block.0"]
    with changed(model, {"block.0": add(direction)}, mask):
        found = seen(model, "blocks")["block.0"]
    assert torch.equal((found != plain).any(-1), mask)


def test_a_mask_is_of_the_prompt_also_where_an_answer_is_generated(model, direction):
    def answered(positions):
        with changed(model, {"block.0": add(5 * direction)}, positions):
            return model.generate(IDS, max_new_tokens=4, do_sample=False)

    assert torch.equal(answered(torch.ones(IDS.shape, dtype=torch.bool)), answered("prompt"))
    with pytest.raises(InputError, match=r"of shape \(2, 3\) for a prompt of shape \(2, 5\)"):
        answered(torch.ones((2, 3), dtype=torch.bool))


def test_low_precision_is_ablated_in_float32(direction):
    torch.manual_seed(0)
    model = FAMILIES["llama"]().bfloat16().eval()
    unit = direction / direction.norm()
    with changed(model, {"block.1": ablate(direction, 0.25)}):
        x = seen(model, "blocks")["block.1"]
    assert x.dtype == torch.bfloat16
    assert ((x.float() @ unit - 0.25).abs() <= 2**-8 * x.float().norm(dim=-1)).all()


def test_models_and_sites_that_cannot_be_hooked_are_named(model, direction):
    with (
        pytest.raises(InputError, match=r"has no site block.9, only block.0, "),
        changed(model, {"block.9": add(direction)}),
    ):
        pass
    gpt2 = GPT2LMHeadModel(GPT2Config(vocab_size=40, n_embd=16, n_layer=1, n_head=2))
    with pytest.raises(InputError, match="GPT2LMHeadModel has no list of decoder layers"):
        sites(gpt2, "blocks")


def test_writes_that_do_not_add_up_are_refused():
    torch.manual_seed(0)
    model = FAMILIES["llama"]().eval()
    layer = model.get_decoder().layers[1]
    layer.register_forward_hook(lambda module, given, out: 2 * out)  # as families that scale their residual stream
    with pytest.raises(InputError, match="attention and MLP of layer 1 write does not add up"):
        sites(model, "writes")
    assert [*sites(model, "blocks")] == ["block.0", "block.1", "block.2"]


def test_moments_against_numpy():
    random = np.random.default_rng(0)
    x = random.normal(size=(6, 5, WIDTH)).astype("float32")
    mask = random.random((6, 5)) < 0.6
    mask[:, 0] = True
    x[~mask] = np.nan  # padding may hold anything
    weights = random.random((6, 2))
    moments = Moments.none(2, WIDTH)
    for rows in (slice(0, 4), slice(4, 6)):
        moments.add(*(torch.from_numpy(part[rows]) for part in (x, mask, weights)))
    means = np.stack([x[row][mask[row]].astype("float64").mean(0) for row in range(6)])
    norms = np.array([np.linalg.norm(x[row][mask[row]].astype("float64"), axis=1).mean() for row in range(6)])
    shares = weights / weights.sum(0)
    np.testing.assert_allclose(moments.mean, shares.T @ means, atol=1e-6)
    np.testing.assert_allclose(moments.norm, shares.T @ norms, atol=1e-6)
    np.testing.assert_allclose(moments.variance, shares.T @ means**2 - (shares.T @ means) ** 2, atol=1e-6)
