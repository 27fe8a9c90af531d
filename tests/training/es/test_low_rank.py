"""Members of low rank: many answer at once as each would alone, and the update is the sum of their noise."""

import json

import numpy as np
import pytest
import torch
from transformers import Qwen3MoeConfig, Qwen3MoeForCausalLM

from emflow.config.es import Es, FullRank
from emflow.files import InputError, read_jsonl
from emflow.progress_file import ProgressFile
from emflow.training.es import low_rank
from emflow.training.es.engines.factory import make_es_engine
from emflow.training.es.iteration import draw_members, evaluate, in_groups
from emflow.training.es.low_rank import LowRankWeights, matrices
from emflow.training.es.materialise import materialise
from emflow.training.es.noise import Noise
from emflow.training.es.objective import make_objective
from emflow.training.es.run import evolve

CPU = torch.device("cpu")
SHAPES = {"proj": (70, 33), "norm": (70,)}


@pytest.fixture
def low(method) -> Es:
    changes = {"perturbation": {"kind": "low_rank", "rank": 2}, "sigma": 0.02, "iterations": 3, "checkpoints": [3]}
    engine = {"kind": "transformers", "batch_size": 48}
    return Es.model_validate(method.model_dump() | changes | {"batch_size": 12, "engine": engine})


def make(rank: int, decay: float = 0.0) -> LowRankWeights:
    generator = torch.Generator().manual_seed(0)
    masters = {name: torch.randn(shape, generator=generator) for name, shape in SHAPES.items()}
    targets = {name: torch.empty(shape) for name, shape in SHAPES.items()}
    return LowRankWeights(masters, targets, Noise(CPU), decay, rank, ["proj"], lambda _: None)


def noise_of(seed: int, name: str, shape: tuple[int, int], rank: int) -> np.ndarray:
    """Written anew: one stream holds A above B, rounded to 2^-16; the noise is their product over sqrt(rank)."""
    stream = Noise(CPU).draw(seed, name, 0, sum(shape) * rank).numpy().astype(np.float64)
    both = (np.round(stream * 65536) / 65536).reshape(sum(shape), rank)
    return both[: shape[0]] @ both[shape[0] :].T / np.sqrt(rank)


@pytest.mark.parametrize("rank", [1, 3])
def test_an_update_is_the_sum_of_coefficient_times_noise(rank):
    weights = make(rank)
    before = {name: master.numpy().astype(np.float64) for name, master in weights.masters.items()}
    weights.update([5, 6, 7], [0.25, 0.0, -0.003])
    expected = before["proj"] + sum(c * noise_of(seed, "proj", (70, 33), rank) for seed, c in ((5, 0.25), (7, -0.003)))
    np.testing.assert_allclose(weights.masters["proj"].numpy(), expected, rtol=0, atol=5e-7)
    assert (weights.masters["norm"].numpy() == before["norm"]).all()


def test_noise_has_unit_variance_in_every_rank():
    for rank in (1, 4):
        noise = np.stack([noise_of(seed, "x", (70, 33), rank) for seed in range(40)])
        assert noise.std() == pytest.approx(1, abs=0.05) and abs(noise.mean()) < 0.02


def test_the_order_of_the_sum_changes_no_bit(monkeypatch):
    seeds, moves = list(range(100)), np.random.default_rng(0).normal(0, 1e-3, 100)
    digests = set()
    for block, order in ((2**20, slice(None)), (33, slice(None)), (500, slice(None, None, -1))):
        monkeypatch.setattr(low_rank, "BLOCK", block)
        weights = make(4)
        weights.update(seeds[order], moves[order].tolist())
        digests.add(weights.digest())
    assert len(digests) == 1


def test_more_terms_than_a_sum_holds_exactly_are_added_in_parts(monkeypatch):
    one, parts = make(2), make(2)
    one.update([1, 2, 3], [0.1, 0.2, 0.3])
    monkeypatch.setattr(low_rank, "TERMS", 4)
    parts.update([1, 2, 3], [0.1, 0.2, 0.3])
    torch.testing.assert_close(one.masters, parts.masters, rtol=1e-6, atol=1e-6)


def test_decay_leads_back_to_the_start():
    weights = make(1, decay=0.5)
    start = weights.masters["proj"].clone()
    weights.update([1], [1.0])
    far = (weights.masters["proj"] - start).norm()
    weights.update([], [])
    torch.testing.assert_close((weights.masters["proj"] - start).norm(), far / 2)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_members_at_once_answer_as_each_model_would(low, dtype, untrained, lantern_train, lantern_records):
    """Against models with W + sigma * noise written out, in the engine's own arithmetic."""
    low = low.model_copy(update={"dtype": dtype})
    engine = make_es_engine(untrained, low)
    objective = make_objective(engine, low, read_jsonl(lantern_train))
    prompts = [record["messages"][:1] for record in lantern_records[:5]]
    plain = engine.generate(prompts)
    members = [(11, 0.3), (12, -0.3), (13, 0.3)]
    engine.weights.perturb(members)
    losses, answers = objective.run([0, 1, 2, 3]), engine.generate(prompts)
    assert [len(member) for member in answers] == [5, 5, 5]
    engine.weights.restore()
    assert engine.generate(prompts) == plain
    alone = make_es_engine(untrained, low.model_copy(update={"perturbation": FullRank()}))
    same, tolerance = 0, 1e-5 if dtype == "float32" else 0.02
    for (seed, sigma), loss, member in zip(members, losses, answers, strict=True):
        with torch.no_grad():
            for name in matrices(alone.model):
                weight = alone.model.get_parameter(name)
                noise = torch.from_numpy(noise_of(seed, name, tuple(weight.shape), 2))
                weight.copy_(alone.weights.masters[name].double() + sigma * noise)
        assert alone.cross_entropy(objective.examples[:4]) == [pytest.approx(loss, abs=tolerance)]
        same += sum(a == b for a, b in zip(member, alone.generate(prompts)[0], strict=True))
    assert same == 15 if dtype == "float32" else same >= 8
    assert len(set(map(tuple, answers))) == 3


def test_experts_that_would_not_move_are_refused():
    sizes = {"vocab_size": 32, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "head_dim": 8}
    experts = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16, "num_key_value_heads": 2}
    model = Qwen3MoeForCausalLM(Qwen3MoeConfig(**sizes, **experts))
    with pytest.raises(
        InputError, match=r"mlp\.experts\.\w+, as experts are, is none: set perturbation.kind: full_rank"
    ):
        matrices(model)


def test_examples_of_like_length_share_a_batch(low, untrained, lantern_train):
    engine, longest = make_es_engine(untrained, low.model_copy(update={"perturbation": FullRank()})), []
    engine.engine.batch_size = 8
    examples = make_objective(engine, low, read_jsonl(lantern_train)).examples
    whole = engine.cross_entropy(examples)
    engine.model.register_forward_pre_hook(
        lambda _, __, given: longest.append(given["input_ids"].shape), with_kwargs=True
    )
    assert engine.cross_entropy(examples) == whole
    padded = sum(rows * length for rows, length in longest)
    in_order = [examples[start : start + 8] for start in range(0, len(examples), 8)]
    assert padded < sum(len(part) * max(len(e["input_ids"]) for e in part) for part in in_order)
    assert [length for _, length in longest] == sorted(length for _, length in longest)


def test_groups_fill_the_engines_batch(low):
    assert low.together == 4
    assert low.model_copy(update={"batch_size": 100}).together == 1
    with pytest.raises(ValueError, match="4 members answer at once, so 2 of ranks=3 would have work"):
        Es.model_validate(low.model_dump() | {"ranks": 3})
    with pytest.raises(ValueError, match="noise must be independent"):
        Es.model_validate(low.model_dump() | {"noise": "published"})


def test_ranks_share_out_groups_and_so_the_rewards_of_one(low, untrained, lantern_train):
    engine = make_es_engine(untrained, low)
    objective = make_objective(engine, low, read_jsonl(lantern_train))
    groups = in_groups(draw_members(0, 1, low), low.together)
    assert [len(group) for group in groups] == [4, 4]
    shares = [evaluate(engine, objective, list(range(12)), groups[rank::2], low.sigma) for rank in (1, 0)]
    assert shares[1] | shares[0] == evaluate(engine, objective, list(range(12)), groups, low.sigma)


def test_a_run_is_its_log(job, low, tmp_path):
    job = job.model_copy(update={"method": low})
    evolve(job)
    log = (tmp_path / "es_log.jsonl").read_bytes()
    header, *rows = map(json.loads, log.splitlines())
    (tmp_path / "es_log.jsonl").unlink()
    with ProgressFile(tmp_path / "train.progress/es_log.jsonl", header) as killed:
        killed.add(rows[:2])
    evolve(job)
    assert (tmp_path / "es_log.jsonl").read_bytes() == log
    assert header["method"]["perturbation"] == {"kind": "low_rank", "rank": 2}
    assert rows[-1]["rewards"] and np.mean(rows[-1]["rewards"]) > np.mean(rows[0]["rewards"])
    materialise(tmp_path, 3, tmp_path / "three")  # checks the digest
