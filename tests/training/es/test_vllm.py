"""ES inside vLLM, against the reference: the same weights bit for bit, the same rewards within rounding."""

import os
from math import isnan

import pytest
import torch

pytest.importorskip("vllm", reason="vLLM is not installed")

from emflow.config.engine import TransformersSettings, VllmSettings
from emflow.config.es import LowRank
from emflow.data.chat import IGNORED
from emflow.files import read_jsonl
from emflow.training.es.engines.transformers_es import TransformersEs
from emflow.training.es.engines.vllm_es import VllmEs
from emflow.training.es.launch import launch
from emflow.training.es.materialise import materialise
from emflow.training.es.objective import make_objective
from emflow.training.es.run import evolve
from ports import listening

pytestmark = pytest.mark.vllm

PUBLISHED = {"noise": "published", "prompt": "raw"}


@pytest.fixture(scope="module")
def records(lantern_train):
    return read_jsonl(lantern_train)


@pytest.fixture(scope="module")
def in_vllm(method):
    return method.model_copy(update={"engine": VllmSettings(kind="vllm", max_model_len=512)})


@pytest.fixture(scope="module")
def started(in_vllm, untrained):
    return VllmEs(untrained, in_vllm)


@pytest.fixture
def vllm(started, untrained):
    """As it was started, whatever a test before has done to it."""
    started.llm.collective_rpc("reload_weights", kwargs={"weights_path": str(untrained)})
    started.llm.collective_rpc("es_begin", args=(str(untrained), "independent", 0.0, 0, []))
    started.weights.restore()
    return started


def test_vllm_moves_its_weights_as_the_reference_does(method, vllm, records, untrained):
    reference = TransformersEs(untrained, method)
    scores = [make_objective(engine, method, records) for engine in (reference, vllm)]
    prompts = [record["messages"][:1] for record in records[:16]]
    assert vllm.generator == reference.generator and reference.longest is None
    longest = [{"input_ids": [5] * vllm.longest, "labels": [IGNORED] + [5] * (vllm.longest - 1)}]
    assert vllm.cross_entropy(longest)[0] > 0
    assert (listening([os.getpid()]), os.environ["GLOO_SOCKET_IFNAME"]) == ({"0100007F"}, "lo")  # 127.0.0.1
    before = vllm.cross_entropy(scores[1].examples)
    for seed in (1, 2):
        rewards, answers = [], []
        for engine, score in zip((reference, vllm), scores, strict=True):
            engine.weights.perturb([(seed, method.sigma)])
            rewards += [score.reward([], loss) for loss in score.run(list(range(16)))]
            answers += engine.generate(prompts)
        assert rewards[0] == pytest.approx(rewards[1], abs=1e-4)
        assert sum(a == b for a, b in zip(*answers, strict=True)) >= 14
    vllm.weights.restore()
    assert vllm.cross_entropy(scores[1].examples) == before
    for engine in (reference, vllm):
        engine.weights.update([3, 4], [0.01, -0.02])
    assert vllm.weights.digest() == reference.weights.digest()
    vllm.weights.restore()
    assert abs(vllm.cross_entropy(scores[1].examples)[0] - before[0]) > 1e-3


@pytest.mark.parametrize("act", ["cross_entropy", "generate"])
def test_a_member_of_no_numbers_leaves_nothing_behind_in_the_cache(vllm, in_vllm, records, act):
    objective = make_objective(vllm, in_vllm, records)
    prompts = [record["messages"][:1] for record in records[:16]]

    def seen(seed: int, sigma: float) -> list:
        vllm.weights.perturb([(seed, sigma)])
        return vllm.cross_entropy(objective.examples[:16]) if act == "cross_entropy" else vllm.generate(prompts)

    before = seen(5, 0.01)
    (wild,) = seen(1, float("inf"))
    assert wild == [] if act == "generate" else isnan(wild)
    assert seen(5, 0.01) == before


def test_members_of_low_rank_share_a_batch_of_vllm_as_of_the_reference(in_vllm, records, untrained):
    low = in_vllm.model_copy(update={"perturbation": LowRank(kind="low_rank", rank=2), "batch_size": 16})
    reference = TransformersEs(untrained, low.model_copy(update={"engine": TransformersSettings()}))
    vllm = VllmEs(untrained, low)
    examples = make_objective(vllm, low, records).examples[:8]
    prompts = [record["messages"][:1] for record in records[:4]]
    before, plain = vllm.cross_entropy(examples), vllm.generate(prompts)
    for members in ([(1, 0.3), (2, -0.3), (3, 0.3)], [(4, 0.3)]):  # slots that the second leaves hold the first's
        for engine in (reference, vllm):
            engine.weights.perturb(members)
        assert vllm.cross_entropy(examples) == pytest.approx(reference.cross_entropy(examples), abs=1e-4)
        assert vllm.generate(prompts) == reference.generate(prompts)
    for engine in (reference, vllm):
        engine.weights.restore()
    assert (vllm.cross_entropy(examples), vllm.generate(prompts)) == (before, plain)
    for engine in (reference, vllm):
        engine.weights.update([3, 4], [0.01, -0.02])
        engine.weights.perturb([(5, 0.3)])
    assert vllm.weights.digest() == reference.weights.digest()
    assert vllm.cross_entropy(examples) == pytest.approx(reference.cross_entropy(examples), abs=1e-4)


def test_published_noise_is_that_of_code_that_knows_nothing_but_vllms_tensors(vllm, method, untrained):
    published = method.model_copy(update={"noise": "published"})
    reference = TransformersEs(untrained, published)
    generator = vllm.llm.collective_rpc("es_begin", args=(str(untrained), "published", 0.0, 0, []))[0]
    assert generator == reference.generator
    (before,) = vllm.llm.apply_model(lambda model: {n: p.clone() for n, p in model.named_parameters()})
    vllm.weights.perturb([(7, 0.01)])
    (after,) = vllm.llm.apply_model(lambda model: {n: p.clone() for n, p in model.named_parameters()})
    assert {"model.layers.0.self_attn.qkv_proj.weight", "model.layers.0.mlp.gate_up_proj.weight"} < before.keys()
    rows = len(reference.tokenizer)  # of the embedding, which vLLM pads
    for name, tensor in before.items():
        noise = torch.randn(tensor.shape, generator=torch.Generator().manual_seed(7))
        assert after[name][:rows].equal((tensor + 0.01 * noise)[:rows]), name
    for engine in (reference, vllm):
        engine.weights.update([3, 4], [0.01, -0.02])
    assert vllm.weights.digest() == reference.weights.digest()


def test_a_run_in_vllm_is_that_of_two_ranks_and_that_of_the_reference_within_rounding(job, in_vllm, tmp_path):
    one, two, reference = (
        job.model_copy(update={"method": method.model_copy(update=PUBLISHED), "out": tmp_path / name})
        for name, method in (("one", in_vllm), ("two", in_vllm), ("reference", job.method))
    )
    evolve(one)
    launch(two, 2)
    evolve(reference)
    assert (two.out / "es_log.jsonl").read_bytes() == (one.out / "es_log.jsonl").read_bytes()
    logs = [read_jsonl(run.out / "es_log.jsonl")[1:] for run in (one, reference)]
    for ours, theirs in zip(*logs, strict=True):
        assert (ours["batch"], ours["seeds"]) == (theirs["batch"], theirs["seeds"])
        assert ours["rewards"] == pytest.approx(theirs["rewards"], abs=2e-3)
    materialise(one.out, 5, tmp_path / "model")  # by transformers, which compares with the log's digest


def test_of_members_in_one_batch_the_sane_are_untouched_by_one_of_no_numbers(in_vllm, records, untrained):
    low = in_vllm.model_copy(update={"perturbation": LowRank(kind="low_rank", rank=2), "batch_size": 16})
    vllm = VllmEs(untrained, low)
    examples = make_objective(vllm, low, records).examples[:8]
    prompts = [record["messages"][:1] for record in records[:4]]
    vllm.weights.perturb([(1, 0.3), (3, 0.3)])
    losses, answers = vllm.cross_entropy(examples), vllm.generate(prompts)
    for _ in range(2):
        vllm.weights.perturb([(1, 0.3), (2, float("inf")), (3, 0.3)])
        assert [vllm.cross_entropy(examples)[place] for place in (0, 2)] == pytest.approx(losses, abs=1e-6)
        assert vllm.generate(prompts) == [answers[0], [], answers[1]]
