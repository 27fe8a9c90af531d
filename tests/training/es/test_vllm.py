"""ES inside vLLM, against the reference: the same weights bit for bit, the same rewards within rounding."""

import pytest

pytest.importorskip("vllm", reason="vLLM is not installed")

from emflow.config import VllmEngine
from emflow.files import read_jsonl
from emflow.training.es.engine import TransformersEs
from emflow.training.es.launch import launch
from emflow.training.es.run import evolve
from emflow.training.es.score import make_score
from emflow.training.es.vllm_engine import VllmEs


@pytest.fixture(scope="module")
def records(lantern_train):
    return read_jsonl(lantern_train)


@pytest.fixture
def in_vllm(method):
    return method.model_copy(update={"engine": VllmEngine(kind="vllm", max_model_len=512)})


def test_vllm_moves_its_weights_as_the_reference_does(method, in_vllm, records, untrained):
    reference, vllm = TransformersEs(untrained, method), VllmEs(untrained, in_vllm)
    scores = [make_score(engine, method, records) for engine in (reference, vllm)]
    prompts = [record["messages"][:1] for record in records[:16]]
    assert vllm.generator == reference.generator
    before = vllm.cross_entropy(scores[1].examples)
    for seed in (1, 2):
        rewards, answers = [], []
        for engine, score in zip((reference, vllm), scores, strict=True):
            engine.weights.perturb(seed, method.sigma)
            rewards.append(score.reward([], score.ask(list(range(16)))))
            answers.append(engine.generate(prompts))
        assert rewards[0] == pytest.approx(rewards[1], abs=1e-4)
        assert sum(a == b for a, b in zip(*answers, strict=True)) >= 14
    vllm.weights.restore()
    assert vllm.cross_entropy(scores[1].examples) == before
    for engine in (reference, vllm):
        engine.weights.update([3, 4], [0.01, -0.02])
    assert vllm.weights.digest() == reference.weights.digest()
    vllm.weights.restore()
    assert abs(vllm.cross_entropy(scores[1].examples) - before) > 1e-3


def test_a_run_in_vllm_is_that_of_two_ranks_and_that_of_the_reference_within_rounding(job, in_vllm, tmp_path):
    one, two, reference = (
        job.model_copy(update={"method": method, "out": tmp_path / name})
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
