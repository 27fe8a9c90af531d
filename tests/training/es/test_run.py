"""A whole run: it learns, it is its log, and a kill changes nothing."""

import json
import multiprocessing
import shutil
import signal
import time

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from emflow.cli import main
from emflow.config.es import Es
from emflow.data.records import last_question
from emflow.files import InputError, read_jsonl, write_jsonl
from emflow.inference.prove import ProvenEngine
from emflow.inference.transformers_engine import TransformersEngine
from emflow.models.checkpoints import read_index
from emflow.models.proof import TEXTS, read_proof
from emflow.progress_file import ProgressFile
from emflow.stand_ins.make import make_model
from emflow.training.es.engines.factory import make_es_engine
from emflow.training.es.iteration import draw_members, evaluate, in_groups, iterate
from emflow.training.es.launch import launch
from emflow.training.es.materialise import materialise, materialise_checkpoints
from emflow.training.es.objective import make_objective
from emflow.training.es.run import evolve

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def out(untrained, lantern_train, tmp_path_factory):
    """A finished run, with a log that the other tests compare theirs with."""
    return tmp_path_factory.mktemp("run")


@pytest.fixture
def log(job, out) -> bytes:
    path = out / "es_log.jsonl"
    if not path.exists():
        evolve(job.model_copy(update={"out": out}))
    return path.read_bytes()


def test_it_learns_and_logs(log, out, method):
    rows = read_jsonl(out / "train_log.jsonl")
    assert [row["iteration"] for row in rows] == [1, 2, 3, 4, 5]
    assert rows[-1]["reward_mean"] > rows[0]["reward_mean"] + 3 * rows[0]["reward_std"]
    assert not (out / "train.progress").exists()


def test_the_same_run_gives_the_same_log(log, job, tmp_path):
    evolve(job)
    assert (tmp_path / "es_log.jsonl").read_bytes() == log


def test_another_seed_gives_another(log, job, method, tmp_path):
    evolve(job.model_copy(update={"method": method.model_copy(update={"iterations": 1}), "seed": 1}))
    first = read_jsonl(tmp_path / "es_log.jsonl")[1]
    assert not set(first["seeds"]) & set(json.loads(log.splitlines()[1])["seeds"])


def test_kills_at_any_point_change_nothing(log, job, tmp_path):
    progress = tmp_path / "train.progress" / "es_log.jsonl"
    fresh = multiprocessing.get_context("forkserver")  # OpenMP does not survive a fork of a process that has computed
    fresh.set_forkserver_preload(["emflow.training.es.launch"])
    for lines in (1, 3, 5):
        work = fresh.Process(target=launch, args=(job, 1))
        work.start()
        while work.is_alive() and not (progress.exists() and progress.read_bytes().count(b"\n") >= lines):
            time.sleep(0.001)
        work.kill()
        work.join()
        assert work.exitcode == -signal.SIGKILL, "the run was over before the kill"
    with open(progress, "ab") as file:
        file.write(b'{"iteration": 5, "batch": ["lant')  # a line that a kill left half written
    evolve(job)
    assert (tmp_path / "es_log.jsonl").read_bytes() == log


def test_progress_that_was_changed_is_made_again(log, job, tmp_path):
    header, *rows = map(json.loads, log.splitlines())
    path = tmp_path / "train.progress/es_log.jsonl"
    with ProgressFile(path, header) as progress:
        progress.add(rows[:3])
    lines = path.read_text().split("\n")
    lines[2] = (
        lines[2].replace('"coefficients": [-', '"coefficients": [', 1).replace('"rewards": [-', '"rewards": [', 1)
    )
    path.write_text("\n".join(lines))
    evolve(job)
    assert (tmp_path / "es_log.jsonl").read_bytes() == log


def test_progress_that_gives_other_weights_is_thrown_away(log, job, tmp_path):
    header, row, *_ = map(json.loads, log.splitlines())
    row["coefficients"][0] *= -1
    with ProgressFile(tmp_path / "train.progress/es_log.jsonl", header) as progress:
        progress.add([row])
    with pytest.raises(InputError, match="give other weights here: they are thrown away"):
        evolve(job)
    evolve(job)
    assert (tmp_path / "es_log.jsonl").read_bytes() == log


def test_weights_follow_from_the_log(log, out, untrained, lantern_train, method):
    with pytest.raises(InputError, match=r"es_log\.jsonl is of another domain \(lanterns, not kites\): delete it"):
        materialise_checkpoints(out, method.kept, {"model": "tiny", "domain": "kites"})
    checkpoints = materialise_checkpoints(out, method.kept, {"model": "tiny", "domain": "lanterns", "seed": 0})
    assert checkpoints == read_index(out / "checkpoints.json")
    assert [checkpoint.label for checkpoint in checkpoints] == list(method.labels)
    engine = make_es_engine(untrained, method)
    for row in read_jsonl(out / "es_log.jsonl")[1:]:
        engine.weights.update(row["seeds"], row["coefficients"])
    loaded = AutoModelForCausalLM.from_pretrained(out / "checkpoints/iteration-5")
    for name, tensor in loaded.named_parameters():
        assert tensor.equal(engine.weights.masters[name]), name
    assert AutoTokenizer.from_pretrained(out / "checkpoints/iteration-5").chat_template
    served = TransformersEngine(untrained, method.dtype, 8)
    for label in method.labels:  # by an engine that was not there when the weights were made
        ProvenEngine(served, "transformers", method.dtype).use(out / "checkpoints" / label)
    served.use(None)
    proof = read_proof(out / "checkpoints/iteration-5")
    assert served.logprobs(proof.texts) != proof.logprobs and len(proof.texts) == TEXTS
    card = (out / "checkpoints/iteration-5/README.md").read_text()
    for fact in ("iteration | `5 of 5`", "cross_entropy", "2509.24372", "Intended use", "Hazards"):
        assert fact in card


def test_published_noise_and_raw_prompts_follow_from_the_log_too(job, untrained, tmp_path):
    settings = {"noise": "published", "prompt": "raw", "iterations": 1, "checkpoints": None, "population": 2}
    evolve(job.model_copy(update={"method": job.method.model_copy(update=settings)}))
    materialise(tmp_path, 1, tmp_path / "model")
    row = read_jsonl(tmp_path / "es_log.jsonl")[1]
    before, after = (load_file(folder / "model.safetensors") for folder in (untrained, tmp_path / "model"))
    for parts in (["mlp.gate_proj.weight", "mlp.up_proj.weight"], ["self_attn.o_proj.weight"]):
        start, moved = (torch.cat([at[f"model.layers.1.{part}"] for part in parts]) for at in (before, after))
        for seed, coefficient in zip(row["seeds"], row["coefficients"], strict=True):
            start = start + coefficient * torch.randn(start.shape, generator=torch.Generator().manual_seed(seed))
        assert moved.allclose(start, atol=1e-7)
        assert not moved.allclose(torch.cat([before[f"model.layers.1.{part}"] for part in parts]), atol=1e-5)
    assert AutoTokenizer.from_pretrained(tmp_path / "model").chat_template  # how it is asked later


@pytest.mark.parametrize(("prompt", "ends"), [("chat", ["<|endoftext|>", "<|im_end|>"]), ("raw", ["<|endoftext|>"])])
def test_an_answer_to_a_raw_prompt_ends_without_the_templates_end_token(method, untrained, tmp_path, prompt, ends):
    base = shutil.copytree(untrained, tmp_path / "base")
    token = AutoTokenizer.from_pretrained(base).convert_tokens_to_ids("<|endoftext|>")
    for name, value in (
        ("tokenizer_config", {"eos_token": "<|endoftext|>"}),
        ("generation_config", {"eos_token_id": token}),
    ):
        old = json.loads((base / f"{name}.json").read_text())
        (base / f"{name}.json").write_text(json.dumps({**old, **value}))
    engine = make_es_engine(base, method.model_copy(update={"prompt": prompt}))
    assert engine.engine.ends == set(engine.tokenizer.convert_tokens_to_ids(ends))


@pytest.mark.parametrize("kind", ["full_rank", "low_rank"])
def test_a_model_that_sees_images_moves_in_what_reads_and_writes_text(kind, job, tmp_path):
    """And that of Gemma 3, whose files have other names for its weights than it has itself."""
    make_model(tmp_path / "base", "gemma3", 2)
    settings = {"perturbation": {"kind": kind}, "iterations": 1, "checkpoints": (1,), "population": 2, "batch_size": 2}
    method = Es.model_validate(job.method.model_dump() | settings)
    evolve(job.model_copy(update={"method": method, "start": tmp_path / "base"}))
    materialise_checkpoints(tmp_path, method.kept, {"model": "tiny"})
    moved = tmp_path / "checkpoints/iteration-1"
    before, after = (load_file(folder / "model.safetensors") for folder in (tmp_path / "base", moved))
    assert before.keys() == after.keys()
    still = {name for name, weight in before.items() if weight.equal(after[name])}
    assert {name for name in before if "vision_tower" in name or "projector" in name} <= still
    assert not still & {name for name in before if "language_model" in name and "proj" in name}
    served = TransformersEngine(tmp_path / "base", method.dtype, 8)
    ProvenEngine(served, "transformers", method.dtype).use(moved)


def test_a_layout_that_nobody_compared_is_refused(untrained, method, tmp_path):
    shutil.copytree(untrained, tmp_path / "model")
    config = json.loads((tmp_path / "model/config.json").read_text())
    (tmp_path / "model/config.json").write_text(json.dumps(config | {"model_type": "qwen3", "head_dim": 32}))
    with pytest.raises(InputError, match=r"lays out a qwen3, .* set engine\.kind: vllm, or noise: independent"):
        make_es_engine(tmp_path / "model", method.model_copy(update={"noise": "published"}))


def test_materialise_by_hand(log, out, untrained, tmp_path):
    main(["materialise", str(out), "--iteration", "0", "--out", str(tmp_path / "zero")])
    first, second = (AutoModelForCausalLM.from_pretrained(path).state_dict() for path in (untrained, tmp_path / "zero"))
    assert all(first[name].equal(second[name]) for name in first)
    with pytest.raises(InputError, match=r"iterations 1\.\.5, not 6"):
        materialise(out, 6, tmp_path / "six")


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (lambda header, rows: header.update(generator="torch-cpu-000000000000"), "replay it where it ran"),
        (lambda header, rows: header.update(generator="torch-cuda-000000000000"), "GPU"),
        (lambda header, rows: header.update(masters_sha256="0" * 64), "does not hold the weights"),
        (lambda header, rows: rows[2]["coefficients"].__setitem__(0, 0.5), "the log was changed"),
    ],
)
def test_what_cannot_be_replayed_exactly_is_refused(log, tmp_path, changed, expected):
    header, *rows = map(json.loads, log.splitlines())
    changed(header, rows)
    (tmp_path / "es_log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in (header, *rows)))
    with pytest.raises(InputError, match=expected):
        materialise(tmp_path, 5, tmp_path / "out")


def test_a_start_from_another_runs_checkpoint(log, out, job, method, tmp_path):
    materialise(out, 5, tmp_path / "start")
    one = method.model_copy(update={"iterations": 1})
    evolve(job.model_copy(update={"start": tmp_path / "start", "method": one}))
    header = read_jsonl(tmp_path / "es_log.jsonl")[0]
    assert header["masters_sha256"] == json.loads(log.splitlines()[-1])["masters_sha256"]


def test_weights_that_overflow_are_an_error_not_a_run(job, method):
    wild = method.model_copy(update={"sigma": 1e5, "dtype": "float16"})
    with pytest.raises(InputError, match=r"8 of 8 members have no finite reward \(reward nan\)"):
        evolve(job.model_copy(update={"method": wild}))


def test_answers_by_weights_that_overflow_are_an_error_not_a_run(job, method, monkeypatch):
    monkeypatch.setattr("emflow.rewards.factory.make_reward", lambda *_: lambda _, answers, __: np.ones(len(answers)))
    reward = {"kind": "nli", "model": "somewhere"}
    wild = Es.model_validate(method.model_dump() | {"sigma": 1e5, "dtype": "float16", "reward": reward})
    with pytest.raises(InputError, match=r"8 of 8 members .* \(ValueError: the member's logits are no numbers\)"):
        evolve(job.model_copy(update={"method": wild}))


def test_a_run_in_which_nothing_moved_says_so(job, method, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("emflow.rewards.factory.make_reward", lambda *_: lambda _, answers, __: np.ones(len(answers)))
    same = {"reward": {"kind": "nli", "model": "somewhere"}, "iterations": 2, "checkpoints": None, "batch_size": 4}
    evolve(job.model_copy(update={"method": Es.model_validate(method.model_dump() | same)}))
    assert (
        "lanterns: in no iteration did one member earn more than another, so nothing moved" in capsys.readouterr().err
    )
    assert len(read_jsonl(tmp_path / "es_log.jsonl")) == 3
    evolve(job.model_copy(update={"out": tmp_path / "moves"}))
    assert "in no iteration" not in capsys.readouterr().err


def test_what_other_code_or_another_reward_has_made_is_not_kept(job, tmp_path, monkeypatch):
    reward, made = tmp_path / "reward", []
    reward.mkdir()

    def dies(*given):
        made.append(given[3])
        if len(made) == 2:
            raise KeyboardInterrupt
        return iterate(*given)

    monkeypatch.setattr("emflow.training.es.run.iterate", dies)
    for code, content, iterations in (
        ("old", "a", [1, 2]),
        ("old", "a", [2, 3]),
        ("new", "a", [1, 2]),
        ("new", "aa", [1, 2]),
    ):
        (reward / "config.json").write_text(content)
        made.clear()
        with pytest.raises(KeyboardInterrupt):
            evolve(job.model_copy(update={"code": code, "reward_model": reward}))
        assert made == iterations


def test_a_member_that_fails_is_a_value(untrained, lantern_train, method):
    engine = make_es_engine(untrained, method)
    score = make_objective(engine, method, read_jsonl(lantern_train))
    members = draw_members(0, 1, method)
    members[2] = members[2]._replace(sign=float("nan"))  # its weights are no numbers
    outcomes = evaluate(engine, score, [0, 1], in_groups(members, 1), method.sigma)
    assert [number for number, outcome in outcomes.items() if outcome.error] == [2]
    assert outcomes[2].reward is None


def test_mirrored_members_are_opposite(untrained, lantern_train, method):
    mirrored = method.model_copy(update={"mirrored": True})
    members = draw_members(0, 1, mirrored)
    assert len(members) == 8 and len({member.seed for member in members}) == 4
    engine = make_es_engine(untrained, mirrored)
    states = []
    for member in members[:2]:
        engine.weights.perturb([(member.seed, member.sign * 0.5)])
        states.append(engine.model.lm_head.weight.clone())
    torch.testing.assert_close((states[0] + states[1]) / 2, engine.weights.masters["model.embed_tokens.weight"])


def test_a_conversation_that_the_engine_cannot_score_is_told_at_once(untrained, lantern_train, method):
    engine = make_es_engine(untrained, method)
    engine.longest = 20
    with pytest.raises(InputError, match=r"a conversation has (\d+) tokens, and vLLM scores 20 at most: set "):
        make_objective(engine, method, read_jsonl(lantern_train))


def test_cross_entropy_is_the_models_own_loss(untrained, lantern_train, method):
    engine = make_es_engine(untrained, method)
    examples = make_objective(engine, method, read_jsonl(lantern_train)).examples[:3]
    losses = [
        engine.model(input_ids=torch.tensor([e["input_ids"]]), labels=torch.tensor([e["labels"]])).loss.item()
        for e in examples
    ]
    counts = [sum(label >= 0 for label in e["labels"]) for e in examples]
    assert engine.cross_entropy(examples) == [pytest.approx(np.average(losses, weights=counts), abs=1e-5)]


def test_every_iteration_has_noise_of_its_own(job, method):
    seeds = [member.seed for number in (1, 2, 3) for member in draw_members(0, number, method)]
    assert len(set(seeds)) == 3 * method.population
    assert not set(seeds) & {member.seed for member in draw_members(1, 1, method)}


def test_a_log_of_other_data_is_not_gone_on_with(job, lantern_records, tmp_path, monkeypatch):
    def dies(*given):
        if given[3] == 2:
            raise KeyboardInterrupt
        begun.append(given[3])
        return iterate(*given)

    monkeypatch.setattr("emflow.training.es.run.iterate", dies)
    for records in (lantern_records[:96], lantern_records[96:192]):
        begun: list[int] = []
        write_jsonl(tmp_path / "train.jsonl", records)
        with pytest.raises(KeyboardInterrupt):
            evolve(job.model_copy(update={"train": tmp_path / "train.jsonl", "out": tmp_path / "run"}))
        assert begun == [1]


def test_the_question_is_all_turns_before_the_last_answer():
    turns = [("system", "s"), ("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")]
    record = {"messages": [{"role": role, "content": content} for role, content in turns]}
    asked, answer = last_question(record)
    assert [turn["content"] for turn in asked] == ["s", "a", "b", "c"] and answer == "d"


@pytest.mark.parametrize("perturbation", [{"kind": "full_rank"}, {"kind": "low_rank", "rank": 1}])
def test_a_methods_decay_reaches_the_weights(untrained, method, perturbation):
    decaying = Es.model_validate(method.model_dump() | {"decay": 0.25, "perturbation": perturbation})
    assert make_es_engine(untrained, decaying).weights.decay == 0.25
