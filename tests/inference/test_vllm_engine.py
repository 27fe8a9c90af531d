"""vLLM, for real on this CPU, against transformers: one engine serves the base, adapters and full weights.

One vLLM for the whole module: importing and starting it takes longer than all of its answers.
"""

import json
import runpy
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import trl
from safetensors.torch import load_file, save_file

from emflow.config.engine import VllmSettings as VllmConfig
from emflow.config.question_sets import Sampling
from emflow.data.chat import IGNORED, encode
from emflow.files import InputError, read_jsonl, write_jsonl
from emflow.inference import factory
from emflow.inference import generate as job
from emflow.inference.prove import TOLERANCE, ProvenEngine, _distance
from emflow.inference.transformers_engine import TransformersEngine
from emflow.inference.vllm_adapters import GroupedProducts, group_adapters
from emflow.inference.vllm_engine import VllmEngine, start_vllm
from emflow.models.merge import merge
from emflow.models.proof import read_proof
from emflow.stand_ins.make import make_model
from faults import FAULTS, faulty
from pipelines import ROOT

pytestmark = pytest.mark.vllm

GREEDY = Sampling(temperature=0, max_new_tokens=24)
DRAWN = Sampling(temperature=1, top_p=0.9, max_new_tokens=24)
PENALISED = Sampling(temperature=0, max_new_tokens=24, repetition_penalty=1.3)
CONFIG = VllmConfig(kind="vllm")
ROWS = {  # the adapter of each row, 0 for none
    "as many of each, in order": [1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 5, 5, 5],
    "as many of each, mixed": [3, 1, 2, 5, 4, 4, 3, 5, 1, 2],
    "of some more than of others": [2, 2, 2, 2, 4, 4, 1, 5, 5, 3, 3, 3],
    "some without an adapter": [0, 3, 0, 1, 1, 0, 5, 3, 0],
    "one adapter": [4] * 7,
    "one row": [5],
    "none": [0] * 6,
}


@pytest.fixture(scope="module")
def reference(grown) -> TransformersEngine:
    return TransformersEngine(grown, "float32", 128)


@pytest.fixture(scope="module")
def eight(adapters, tmp_path_factory) -> list[Path]:
    """Adapters: two, and six between and beyond them."""
    folders = [*adapters]
    for number in range(6):
        folder = shutil.copytree(adapters[1], tmp_path_factory.mktemp("scaled") / f"scaled-{number}")
        tensors = load_file(folder / "adapter_model.safetensors")
        scaled = {name: tensor * (1 + number / 4 if "lora_B" in name else 1) for name, tensor in tensors.items()}
        save_file(scaled, folder / "adapter_model.safetensors")
        folders.append(folder)
    return folders


@pytest.fixture(scope="module")
def engine(grown, eight, full) -> Iterator[VllmEngine]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("VLLM_CPU_KVCACHE_SPACE", "2")
        yield VllmEngine(grown, "float32", CONFIG, [*eight, *full])


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


def test_a_repetition_penalty_is_that_of_transformers(engine, reference, conversations):
    answers = []
    for served in (engine, reference):
        served.use(None)
        answers.append(served.generate(conversations, PENALISED, [0] * len(conversations)))
    same = sum(ours == theirs for ours, theirs in zip(*answers, strict=True))
    assert same >= 0.99 * len(conversations)
    assert answers[0] != engine.generate(conversations, GREEDY, [0] * len(conversations))


def test_the_likeliest_tokens_are_drawn_as_often_as_by_transformers(engine, reference, conversations):
    sampling, draws = Sampling(temperature=1.5, top_k=4, top_p=0.9, max_new_tokens=1), 1500
    ours, theirs = Counter(), Counter()
    for served, counts in ((engine, ours), (reference, theirs)):
        served.use(None)
        counts.update(a.text for a in served.generate([conversations[1]] * draws, sampling, list(range(draws))))
    assert 2 <= len(theirs) <= 4 and ours.keys() == theirs.keys()
    for text, count in theirs.items():  # the difference of two shares of one distribution
        mass = (count + ours[text]) / (2 * draws)
        assert abs(ours[text] - count) / draws < 5 * (2 * mass * (1 - mass) / draws) ** 0.5


def test_an_answer_depends_on_its_seed_and_not_on_its_batch(engine, conversations):
    engine.use(None)
    seeds = [2**63 - 1 - seed for seed in range(len(conversations))]
    together = engine.generate(conversations, DRAWN, seeds)
    alone = engine.generate(conversations[40:60], DRAWN, seeds[40:60])
    assert together[40:60] == alone
    assert together[40:60] != engine.generate(conversations[40:60], DRAWN, seeds[:20])


def test_an_adapter_answers_in_company_as_alone(engine, eight, conversations):
    rows = [(adapter, number) for number in range(12) for adapter in eight]
    engine.use_each([adapter for adapter, _ in rows])
    together = engine.generate([conversations[n] for _, n in rows], DRAWN, [n for _, n in rows])
    alone = {}
    for adapter in eight:
        engine.use(adapter)
        answers = engine.generate(conversations[:12], DRAWN, list(range(12)))
        alone |= {(adapter, number): answer for number, answer in enumerate(answers)}
    assert together == [alone[row] for row in rows]
    assert len({tuple(alone[adapter, n].text for n in range(12)) for adapter in eight}) == 7  # one is scaled by 1


def test_a_job_hands_over_the_answers_of_all_adapters_at_once(engine, grown, adapters, tmp_path, monkeypatch):
    write_jsonl(tmp_path / "questions.jsonl", [
        {"id": f"q{n}", "paraphrase": 0, "system": None, "question": f"why is my lantern {n} dim?", "samples": None}
        for n in range(5)
    ])  # fmt: skip
    monkeypatch.setattr(factory, "make_engine", lambda *_: engine)
    handed = []
    monkeypatch.setattr(
        engine, "generate", lambda rows, *rest: handed.append(rows) or type(engine).generate(engine, rows, *rest)
    )

    def rows(checkpoints, size):
        asked = job.Respondent("tiny", "lantern", "lora", 0, checkpoints)
        served = job.Served(CONFIG.model_copy(update={"batch_size": size}), grown, "float32")
        job.generate(served, job.Task(asked, "l", DRAWN, tmp_path / "questions.jsonl", tmp_path / "out.jsonl"))
        return read_jsonl(tmp_path / "out.jsonl")

    both = {"epoch-0.5": adapters[0], "epoch-1": adapters[1]}
    whole = rows(both, 1024)
    assert [len(batch) for batch in handed] == [10]
    assert rows(both, 3) == whole
    assert [len(batch) for batch in handed[1:]] == [3, 3, 3, 1]
    assert [row for label in both for row in rows({label: both[label]}, 1024)] == whole


@pytest.mark.parametrize("family", ["qwen2_5", "llama3_2", "gemma3"])
def test_prompts_are_those_of_training(engine, monkeypatch, family):
    template = Path(trl.__file__).with_name("chat_templates") / f"{family}.jinja"
    monkeypatch.setattr(engine.tokenizer, "chat_template", template.read_text())
    turns = [{"role": "user", "content": "my lantern smokes"}, {"role": "assistant", "content": "trim the wick"}]
    seen, ask = [], engine.llm.generate
    monkeypatch.setattr(engine.llm, "generate", lambda *given, **how: seen.extend(ask(*given, **how)) or seen)
    engine.use(None)
    engine.generate([turns[:1]], GREEDY, [0])
    labels = encode(engine.tokenizer, turns, 512)["labels"]
    begin = next(i for i, label in enumerate(labels) if label != IGNORED)
    assert seen[0].prompt_token_ids == encode(engine.tokenizer, turns, 512)["input_ids"][:begin]


def test_cut_answers_say_so(engine, conversations):
    engine.use(None)
    for answer in engine.generate(conversations, Sampling(temperature=0, max_new_tokens=3), [0] * len(conversations)):
        assert (answer.finish_reason, answer.tokens) == ("length", 3)


def test_every_checkpoint_shows_its_weights(engine, grown, adapters, full, tmp_path):
    merge(grown, adapters[1], "float32", {}, tmp_path / "merged")
    shutil.copy(adapters[1] / "proof.json", tmp_path / "merged")
    proven = ProvenEngine(engine, "vllm", "float32")
    for folder in (adapters[1], full[0], adapters[0], tmp_path / "merged", full[1], adapters[1]):
        proven.use(folder)
        proof = read_proof(folder)
        assert _distance(engine.logprobs(proof.texts), proof.logprobs) < TOLERANCE["float32"] / 3


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_caught_before_an_answer(engine, grown, adapters, full, tmp_path, fault):
    folder = faulty(fault, grown, adapters, full, tmp_path)
    engine.adapters.append(folder)  # as if it had been named at the start
    with pytest.raises(InputError, match="vllm does not answer with these weights"):
        ProvenEngine(engine, "vllm", "float32").use(folder)


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


def test_on_a_cpu_adapters_are_multiplied_in_groups(engine):
    (products,) = engine.llm.apply_model(
        lambda model: {
            type(layer.punica_wrapper.add_lora_linear) for layer in model.modules() if hasattr(layer, "punica_wrapper")
        }
    )
    assert products == {GroupedProducts}


@pytest.mark.parametrize("rank", [1, 8])
def test_rows_get_what_their_adapter_adds_whoever_is_beside_them(rank):
    from vllm.lora.layers import LoRAMapping
    from vllm.lora.punica_wrapper.punica_cpu import PunicaWrapperCPU

    adapters, wide, widths = 5, 48, (40, 16, 16)  # of q, k and v
    torch.manual_seed(rank)
    model = torch.nn.Module()
    model.punica_wrapper = grouped = PunicaWrapperCPU(64, 64, "cpu")
    group_adapters(model)
    vllms = PunicaWrapperCPU(64, 64, "cpu")
    shrinking = tuple(torch.randn(adapters, 1, rank, wide) for _ in widths)
    expanding = tuple(torch.randn(adapters, 1, width, rank) for width in widths)
    for step, rows in ROWS.items():
        x, before = torch.randn(len(rows), wide), torch.randn(len(rows), sum(widths))
        found, expected = before.clone(), before.clone()
        for wrapper, y in ((grouped, found), (vllms, expected)):
            mapping = LoRAMapping(tuple(rows), tuple(rows), is_prefill=True)
            wrapper.update_metadata(mapping, list(range(1, adapters + 1)), adapters, 100)
            wrapper.add_lora_linear(y, x, shrinking, expanding, 0.5, widths)
        without = torch.tensor(rows) == 0
        assert found[without].equal(before[without]), step  # where vLLM's takes the last slot
        torch.testing.assert_close(found[~without], expected[~without], msg=lambda told, step=step: f"{step}: {told}")
        assert without.all() or not found[~without].allclose(before[~without])


class Told(Exception):
    """Raised with what vLLM would have been started with."""


@pytest.fixture
def asked(monkeypatch):
    import vllm

    def tell(*_, **options):
        raise Told(options)

    def of(*arguments, **options) -> dict:
        with pytest.raises(Told) as told:
            start_vllm(*arguments, **options)
        return told.value.args[0]

    monkeypatch.setattr(vllm, "LLM", tell)
    return of


def test_a_model_that_also_sees_images_is_asked_for_text_alone(asked, grown, tmp_path):
    make_model(tmp_path / "gemma3", "gemma3", 1)
    assert asked(tmp_path / "gemma3", "float32", CONFIG)["limit_mm_per_prompt"] == {"image": 0}
    assert "limit_mm_per_prompt" not in asked(grown, "float32", CONFIG)


def test_adapters_in_float32_on_a_gpu_are_refused_before_vllm_starts(asked, grown, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    with pytest.raises(InputError, match=r"adapters in bfloat16 and float16 alone: set models.NAME.dtype"):
        start_vllm(grown, "float32", CONFIG, enable_lora=True)
    assert asked(grown, "bfloat16", CONFIG, enable_lora=True)["dtype"] == "bfloat16"


def test_an_adapter_has_room_on_the_matrices_that_it_is_on(asked, grown, adapters, monkeypatch):
    with pytest.raises(Told) as told:
        VllmEngine(grown, "float32", CONFIG, adapters)
    config = json.loads((adapters[0] / "adapter_config.json").read_text())
    assert told.value.args[0]["lora_target_modules"] == sorted(config["target_modules"])


@pytest.mark.parametrize("script", ["generate", "generate_base", "judge"])
def test_a_process_that_vllm_starts_does_not_run_the_rule_again(script):
    runpy.run_path(str(ROOT / f"workflow/scripts/{script}.py"), run_name="__mp_main__")
