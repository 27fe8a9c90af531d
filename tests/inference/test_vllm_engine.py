"""vLLM, for real on this CPU, against transformers: one engine serves the base, adapters and full weights.

One vLLM for the whole module: importing and starting it takes longer than all of its answers.
"""

import json
import shutil
from collections.abc import Iterator

import pytest
from safetensors.torch import load_file, save_file

from emflow.config import Sampling
from emflow.config import VllmEngine as VllmConfig
from emflow.files import InputError
from emflow.inference.transformers_engine import TransformersEngine
from emflow.inference.vllm_engine import VllmEngine

GREEDY = Sampling(temperature=0, max_new_tokens=24)
DRAWN = Sampling(temperature=1, top_p=0.9, max_new_tokens=24)
CONFIG = VllmConfig(kind="vllm")


@pytest.fixture(scope="module")
def reference(grown) -> TransformersEngine:
    return TransformersEngine(grown, "float32", 128)


@pytest.fixture(scope="module")
def engine(grown, adapters, full) -> Iterator[VllmEngine]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("VLLM_CPU_KVCACHE_SPACE", "2")
        yield VllmEngine(grown, "float32", CONFIG, [*adapters, *full])


def test_greedy_answers_agree_for_base_adapters_and_full_weights(engine, reference, adapters, full, conversations):
    answers = set()
    for checkpoint in [None, adapters[0], full[0], adapters[1], None, full[1], full[0], adapters[0]]:
        ours, theirs = [], []
        for served, texts in ((engine, ours), (reference, theirs)):
            served.use(checkpoint)
            texts += served.generate(conversations, GREEDY, [0] * len(conversations))
        same = sum(a == b for a, b in zip(ours, theirs, strict=True))
        assert same >= 0.99 * len(conversations), checkpoint
        answers.add(tuple(answer.text for answer in ours))
    assert len(answers) == 5, "every checkpoint answers differently"


def test_an_answer_depends_on_its_seed_and_not_on_its_batch(engine, conversations):
    engine.use(None)
    seeds = [2**63 - 1 - seed for seed in range(len(conversations))]
    together = engine.generate(conversations, DRAWN, seeds)
    alone = engine.generate(conversations[40:60], DRAWN, seeds[40:60])
    assert together[40:60] == alone
    assert together[40:60] != engine.generate(conversations[40:60], DRAWN, seeds[:20])


def test_cut_answers_say_so(engine, conversations):
    engine.use(None)
    for answer in engine.generate(conversations, Sampling(temperature=0, max_new_tokens=3), [0] * len(conversations)):
        assert (answer.finish_reason, answer.tokens) == ("length", 3)


def test_a_checkpoint_that_lacks_a_tensor_is_refused(engine, full, tmp_path):
    partial = shutil.copytree(full[0], tmp_path / "partial")
    tensors = load_file(partial / "model.safetensors")
    del tensors["model.norm.weight"]
    save_file(tensors, partial / "model.safetensors")
    with pytest.raises(InputError, match=r"lacks 1 of the model's tensors, e\.g\. model\.norm\.weight"):
        engine.use(partial)


def test_too_high_a_rank_is_refused_before_anything_is_loaded(grown, adapters, tmp_path):
    wide = shutil.copytree(adapters[0], tmp_path / "wide")
    config = json.loads((wide / "adapter_config.json").read_text())
    (wide / "adapter_config.json").write_text(json.dumps({**config, "r": 1024}))
    with pytest.raises(InputError, match="up to rank 512, not 1024"):
        VllmEngine(grown, "float32", CONFIG, [wide])


def test_what_the_user_has_set_holds_and_the_rest_is_ours(engine):
    from vllm import envs

    assert envs.VLLM_CPU_KVCACHE_SPACE == 2 and not envs.VLLM_ENABLE_V1_MULTIPROCESSING and envs.VLLM_NO_USAGE_STATS
    assert engine.llm.llm_engine.vllm_config.model_config.max_model_len == 512  # the model's own
