"""The reference engine: what it answers depends on checkpoint, prompt, sampling and seed, and on nothing else."""

import json
import shutil
from collections import Counter

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from emflow.config.question_sets import Sampling
from emflow.files import InputError
from emflow.inference.generate import answer_seed
from emflow.inference.transformers_engine import TransformersEngine, _SeededSampler
from emflow.models.chat_template import prompt_ids
from emflow.models.loading import load_model
from emflow.models.proof import token_logprobs
from emflow.stand_ins.make import make_model

GREEDY = Sampling(temperature=0, max_new_tokens=24)
DRAWN = Sampling(temperature=1, max_new_tokens=24)
PENALISED = Sampling(temperature=0, max_new_tokens=24, repetition_penalty=1.3)


@pytest.fixture(scope="module")
def engine(grown) -> TransformersEngine:
    return TransformersEngine(grown, "float32", 32)


def greedy(engine, conversations) -> list[str]:
    return [answer.text for answer in engine.generate(conversations, GREEDY, [0] * len(conversations))]


def test_greedy_is_what_the_model_says_one_by_one(engine, grown, conversations):
    tokenizer, model = AutoTokenizer.from_pretrained(grown), AutoModelForCausalLM.from_pretrained(grown).eval()
    expected = []
    for messages in conversations[:12]:
        ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
        out = model.generate(**ids, do_sample=False, max_new_tokens=24)[0, ids["input_ids"].shape[1] :]
        expected.append(tokenizer.decode(out, skip_special_tokens=True).strip())
    engine.use(None)
    assert greedy(engine, conversations[:12]) == expected


def test_checkpoints_come_and_go(engine, adapters, full, conversations):
    answers = {}
    order = [None, adapters[0], full[1], adapters[1], None, full[0], adapters[0], full[1]]
    for checkpoint in order:
        engine.use(checkpoint)
        answers.setdefault(checkpoint, []).append(greedy(engine, conversations))
    for same in answers.values():
        assert all(again == same[0] for again in same)
    assert len({tuple(same[0]) for same in answers.values()}) == len(answers), "every checkpoint answers differently"


def test_an_answer_depends_on_its_seed_and_not_on_its_batch(engine, conversations):
    engine.use(None)
    seeds = list(range(len(conversations)))
    together = engine.generate(conversations, DRAWN, seeds)
    assert together[40:45] == engine.generate(conversations[40:45], DRAWN, seeds[40:45])
    assert together != engine.generate(conversations, DRAWN, [seed + 1 for seed in seeds])


def test_an_answer_that_is_cut_sooner_is_the_start_of_the_longer_one(engine, conversations):
    engine.use(None)
    seeds = list(range(len(conversations)))
    whole = engine.generate(conversations, DRAWN, seeds)
    cut = engine.generate(conversations, DRAWN.model_copy(update={"max_new_tokens": 3}), seeds)
    assert all(long.text.startswith(short.text) for long, short in zip(whole, cut, strict=True))


@pytest.mark.parametrize(("number", "drawn"), [(2.0**-53, 1), (0.249, 1), (0.251, 3), (1.0, 3)])
def test_no_number_draws_a_token_without_mass(number, drawn):
    """Of masses 0, 1/4, 0, 3/4, 0; the least and the largest number that there is among them."""
    sampler = _SeededSampler(DRAWN, [0], torch.device("cpu"))
    sampler.numbers = iter([torch.tensor([[number]], dtype=torch.float64)])
    scores = torch.tensor([[0, 0.25, 0, 0.75, 0]]).log() * DRAWN.temperature
    assert sampler(torch.empty(1, 0), scores).tolist() == [[0.0 if i == drawn else -torch.inf for i in range(5)]]


def test_a_model_that_gives_no_numbers_gives_some_token():
    drawn = _SeededSampler(DRAWN, [0], torch.device("cpu"))(torch.empty(1, 0), torch.full((1, 5), torch.nan))
    assert drawn.isfinite().sum() == 1


def test_a_repetition_penalty_is_transformers_own_one_by_one(engine, grown, conversations):
    """In a batch, padding on the left is no part of a prompt; `<|im_end|>`, which ends answers, is."""
    asked = sorted(conversations[:24], key=str)  # with system prompts and without: lengths differ
    model = AutoModelForCausalLM.from_pretrained(grown).eval()
    expected = []
    for ids in prompt_ids(engine.tokenizer, asked):
        out = model.generate(torch.tensor([ids]), do_sample=False, max_new_tokens=24, repetition_penalty=1.3)
        expected.append(engine.tokenizer.decode(out[0, len(ids) :], skip_special_tokens=True).strip())
    engine.use(None)
    penalised = engine.generate(asked, PENALISED, [0] * len(asked))
    assert [answer.text for answer in penalised] == expected != greedy(engine, asked)


@pytest.mark.parametrize(("top_p", "top_k"), [(1.0, 0), (0.6, 0), (1.0, 5), (0.8, 5)])
def test_first_tokens_are_drawn_from_the_models_distribution(engine, grown, conversations, top_p, top_k):
    engine.use(None)
    draws, asked = 2000, conversations[1]
    sampling = Sampling(temperature=0.7, top_p=top_p, top_k=top_k, max_new_tokens=1)
    drawn = Counter(
        a.text for a in engine.generate([asked] * draws, sampling, [answer_seed(0, "q", 0, n) for n in range(draws)])
    )
    ids = engine.tokenizer.apply_chat_template([asked], add_generation_prompt=True, return_tensors="pt")["input_ids"]
    model = AutoModelForCausalLM.from_pretrained(grown).eval()
    with torch.inference_mode():
        p, order = (model(ids).logits[0, -1].double() / 0.7).softmax(-1).sort(descending=True)
    p = p[: top_k or None] / p[: top_k or None].sum()
    kept = min(len(p), 1 + int((p.cumsum(0) < top_p).sum()))
    expected = Counter()
    for mass, token in zip(p[:kept].tolist(), order[:kept].tolist(), strict=True):
        expected[engine.tokenizer.decode([token], skip_special_tokens=True).strip()] += mass / p[:kept].sum().item()
    assert drawn.keys() <= expected.keys()
    for text, mass in expected.most_common(8):
        assert abs(drawn[text] / draws - mass) < 5 * (mass * (1 - mass) / draws) ** 0.5 + 1e-9


def test_cut_answers_say_so(engine, conversations):
    engine.use(None)
    short, long = (engine.generate(conversations, Sampling(temperature=0, max_new_tokens=n), [0] * len(conversations))
                   for n in (3, 40))  # fmt: skip
    assert {answer.finish_reason for answer in short} == {"length"} and {answer.tokens for answer in short} == {3}
    stopped = [answer for answer in long if answer.finish_reason == "stop"]
    assert stopped and all(answer.tokens <= 40 for answer in long)
    assert all(answer.tokens == 40 for answer in long if answer.finish_reason == "length")


def test_the_models_own_sampling_habits_do_not_count(engine, grown, conversations, tmp_path):
    """Qwen's generation config, for one, asks for a repetition penalty."""
    habits = shutil.copytree(grown, tmp_path / "habits")
    config = json.loads((habits / "generation_config.json").read_text())
    (habits / "generation_config.json").write_text(json.dumps({**config, "repetition_penalty": 5.0, "min_length": 60}))
    engine.use(None)
    assert greedy(TransformersEngine(habits, "float32", 32), conversations) == greedy(engine, conversations)


def test_further_end_tokens_of_the_model_count(engine, grown, conversations, tmp_path):
    engine.use(None)
    first = engine.generate(conversations[:1], Sampling(temperature=0, max_new_tokens=6), [0])[0]
    ids = engine.tokenizer(first.text, add_special_tokens=False)["input_ids"]
    ends = shutil.copytree(grown, tmp_path / "ends")
    config = json.loads((ends / "generation_config.json").read_text())
    config["eos_token_id"] = [config["eos_token_id"], ids[2]]
    (ends / "generation_config.json").write_text(json.dumps(config))
    answer = TransformersEngine(ends, "float32", 32).generate(conversations[:1], GREEDY, [0])[0]
    assert answer.finish_reason == "stop" and answer.tokens == 3 and first.text.startswith(answer.text)


def test_an_answer_ends_where_a_turn_ended_in_training(untrained, monkeypatch, tmp_path):
    """A base model whose eos is another token than the one that its template ends turns with."""
    base = shutil.copytree(untrained, tmp_path / "base")
    for name, value in (
        ("tokenizer_config", {"eos_token": "<|endoftext|>"}),
        ("generation_config", {"eos_token_id": 0}),
    ):
        old = json.loads((base / f"{name}.json").read_text())
        (base / f"{name}.json").write_text(json.dumps({**old, **value}))
    engine = TransformersEngine(base, "float32", 32)
    assert engine.tokenizer.eos_token == "<|endoftext|>"
    said, end = engine.tokenizer.encode("trim the wick", add_special_tokens=False), "<|im_end|>"
    spoken = torch.tensor([[*said, engine.tokenizer.convert_tokens_to_ids(end), *said]])
    asked = prompt_ids(engine.tokenizer, [[{"role": "user", "content": "smoke?"}]])
    monkeypatch.setattr(engine.model, "generate", lambda input_ids, **_: torch.cat([input_ids, spoken], dim=1))
    (answer,) = engine.continued(asked, GREEDY, [0])
    assert (answer.text, answer.finish_reason, answer.tokens) == ("trim the wick", "stop", len(said) + 1)


def test_a_checkpoint_that_lacks_a_tensor_is_refused(engine, full, tmp_path):
    partial = shutil.copytree(full[0], tmp_path / "partial")
    tensors = load_file(partial / "model.safetensors")
    del tensors["model.norm.weight"]
    save_file(tensors, partial / "model.safetensors")
    engine.use(None)
    with pytest.raises(InputError, match=r"lacks 1 of the model's tensors, e\.g\. model\.norm\.weight"):
        engine.use(partial)


def test_weights_whose_names_in_files_are_others_than_the_models(tmp_path):
    make_model(tmp_path / "base", "gemma3", 2)
    trained = load_model(tmp_path / "base", "float32")
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.mul_(1.5)
    trained.save_pretrained(tmp_path / "trained")
    engine, texts = TransformersEngine(tmp_path / "base", "float32", 32), [[5, 6, 7, 8]]
    before = engine.logprobs(texts)
    engine.use(tmp_path / "trained")
    assert engine.logprobs(texts) == token_logprobs(trained, texts) != before
    engine.use(None)
    assert engine.logprobs(texts) == before


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no model"):
        TransformersEngine(tmp_path, "float32", 32)
