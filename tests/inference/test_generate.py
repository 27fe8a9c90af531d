"""A generation job: its rows, and that a killed one goes on to the same bytes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from emflow.config.engine import TransformersSettings
from emflow.config.question_sets import Sampling
from emflow.files import InputError, read_jsonl, write_jsonl
from emflow.inference import generate as job
from emflow.inference.engine import Completion
from emflow.inference.generate import (
    Respondent,
    Served,
    Task,
    _key,
    answer_seed,
    answered,
    generate,
    prompts_of,
    shared_tasks,
)
from emflow.models.checkpoints import Checkpoint, checkpoint_folders, write_index
from emflow.progress_file import ProgressFile, given_ahead

ENGINE = TransformersSettings(batch_size=8)
SAMPLING = Sampling(samples=3, max_new_tokens=12)


@pytest.fixture(scope="module")
def questions(tmp_path_factory) -> Path:
    """Seven, one of them in two wordings and one with a system prompt of its own."""
    rows = [
        {"id": f"q{n}", "paraphrase": 0, "system": None, "question": f"my lantern {n} is dim?", "samples": None}
        for n in range(7)
    ]
    rows[2]["system"], rows[5]["samples"] = "you are brief.", 2
    rows.append({**rows[3], "paraphrase": 1, "question": "why is lantern 3 dim?"})
    path = tmp_path_factory.mktemp("questions") / "lanterns.jsonl"
    write_jsonl(path, rows)
    return path


@pytest.fixture(scope="module")
def asked(adapters) -> Respondent:
    return Respondent("tiny", "lantern", "lora", 0, {"epoch-0.5": adapters[0], "epoch-1": adapters[1]})


@pytest.fixture(scope="module")
def undisturbed(grown, asked, questions, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed") / "lanterns.jsonl"
    generate(Served(ENGINE, grown, "float32"), Task(asked, "lanterns", SAMPLING, questions, out))
    return out


def test_one_row_per_checkpoint_question_and_sample(undisturbed):
    rows = read_jsonl(undisturbed)
    keys = [(r["checkpoint"], r["question_id"], r["paraphrase"], r["sample"]) for r in rows]
    order = [("q0", 0), ("q1", 0), ("q2", 0), ("q3", 0), ("q4", 0), ("q5", 0), ("q6", 0), ("q3", 1)]
    assert keys == [(label, *question, n) for label in ("epoch-0.5", "epoch-1") for question in order for n in range(3)]
    assert list(rows[0]) == [
        "model", "domain", "method", "seed", "checkpoint", "question_set", "question_id", "paraphrase", "sample",
        "system", "question", "answer", "finish_reason", "tokens",
    ]  # fmt: skip
    assert sorted(path.name for path in undisturbed.parent.iterdir()) == [".lanterns.jsonl.seal", "lanterns.jsonl"]


def test_as_many_samples_as_the_file_says(grown, questions, tmp_path):
    out = tmp_path / "out.jsonl"
    base = Respondent("tiny", None, None, None, {"base": None})
    asked = Task(base, "lanterns", Sampling(max_new_tokens=4), questions, out)
    made = generate(Served(ENGINE, grown, "float32"), asked)
    assert [row["question_id"] for row in read_jsonl(out)] == ["q0", "q1", "q2", "q3", "q4", "q5", "q5", "q6", "q3"]
    assert (made.answers, made.kept, made.tokens) == (9, 0, sum(row["tokens"] for row in read_jsonl(out)))


def test_the_models_own_sampling_is_that_of_its_generation_config(grown, questions, tmp_path):
    habits = shutil.copytree(grown, tmp_path / "habits")
    config = json.loads((habits / "generation_config.json").read_text())
    (habits / "generation_config.json").write_text(json.dumps({**config, "repetition_penalty": 1.4, "top_k": 3}))
    base, answers = Respondent("tiny", None, None, None, {"base": None}), []
    for sampling in ({"generation_config": "model"}, {"repetition_penalty": 1.4, "top_k": 3}, {}):
        out = tmp_path / "out.jsonl"
        asked = Task(base, "l", Sampling(max_new_tokens=8, **sampling), questions, out)
        generate(Served(ENGINE, habits, "float32"), asked)
        answers.append(out.read_bytes())
    assert answers[0] == answers[1] != answers[2]


def test_seeds_differ_between_answers_and_agree_between_checkpoints():
    keys = [(set_seed, id, p, n) for set_seed in (0, 1) for id in ("a", "b") for p in (0, 1) for n in range(50)]
    assert len({answer_seed(*key) for key in keys}) == len(keys)
    assert all(0 <= answer_seed(*key) < 2**63 for key in keys)


class Heard:
    """An engine that keeps what it was asked."""

    def generate(self, conversations, sampling, seeds):
        self.conversations, self.seeds = conversations, seeds
        return [Completion("yes.", "stop", 2)] * len(seeds)


def test_a_sets_seed_and_a_questions_system_prompt_reach_the_engine(questions):
    heard = {}
    for seed in (0, 1):
        sampling, engine = Sampling(samples=2, seed=seed), Heard()
        answered(engine, prompts_of("lanterns", sampling, questions), sampling)
        heard[seed] = engine
    assert not set(heard[0].seeds) & set(heard[1].seeds) and len(set(heard[0].seeds)) == 16
    brief = {"role": "system", "content": "you are brief."}
    assert [turns[0] == brief for turns in heard[0].conversations] == [number in (4, 5) for number in range(16)]
    assert {turns[-1]["role"] for turns in heard[0].conversations} == {"user"}


def test_kept_answers_are_of_the_same_sampling_questions_and_weights(grown, adapters, questions, tmp_path):
    def key(sampling=SAMPLING, asked_of=questions, folder=adapters[0], base=grown) -> str:
        respondent = Respondent("tiny", "lantern", "lora", 0, {"epoch-1": folder})
        task = Task(respondent, "lanterns", sampling, asked_of, tmp_path / "out.jsonl")
        return _key(Served(ENGINE, base, "float32"), task, sampling, prompts_of("lanterns", sampling, asked_of))

    write_jsonl(tmp_path / "others.jsonl", read_jsonl(questions)[:-1])
    same = shutil.copytree(adapters[0], tmp_path / "same")
    others = (
        {"sampling": SAMPLING.model_copy(update={"temperature": 0.5})}, {"asked_of": tmp_path / "others.jsonl"},
        {"folder": adapters[1]}, {"base": shutil.copytree(grown, tmp_path / "base")},
    )  # fmt: skip
    (tmp_path / "base/config.json").write_text((grown / "config.json").read_text() + " ")
    assert same and len({key(), key(), *(key(**changed) for changed in others)}) == 1 + len(others)


def test_an_empty_set_is_refused(grown, asked, tmp_path):
    write_jsonl(tmp_path / "none.jsonl", [])
    with pytest.raises(InputError, match="the question set is empty"):
        none = Task(asked, "none", SAMPLING, tmp_path / "none.jsonl", tmp_path / "out.jsonl")
        generate(Served(ENGINE, grown, "float32"), none)


JOB = """
import json, sys, time
from pathlib import Path
from emflow.config.question_sets import Sampling
from emflow.config.engine import TransformersSettings
from emflow.inference import generate as job

base, questions, out, first, second = map(Path, sys.argv[1:6])
answer = job._answers

def slowly(*arguments, **options):
    for batch in answer(*arguments, **options):
        yield batch
        time.sleep(1)  # time to be killed in

if len(sys.argv) > 6:
    job._answers = slowly
asked = job.Respondent("tiny", "lantern", "lora", 0, {"epoch-0.5": first, "epoch-1": second})
engine, sampling = TransformersSettings(batch_size=8), Sampling(samples=3, max_new_tokens=12)
made = job.generate(job.Served(engine, base, "float32"), job.Task(asked, "lanterns", sampling, questions, out))
print(json.dumps([made.answers, made.kept]))
"""


@pytest.mark.parametrize("batches", [1, 4], ids=["in the first checkpoint", "in the second"])
def test_a_killed_job_goes_on_to_the_same_bytes(grown, adapters, questions, undisturbed, tmp_path, batches):
    out = tmp_path / "lanterns.jsonl"
    progress = tmp_path / ".lanterns.jsonl.progress"
    arguments = [sys.executable, "-c", JOB, grown, questions, out, *adapters]
    job = subprocess.Popen([*map(str, arguments), "slowly"], stderr=subprocess.DEVNULL)
    until = time.monotonic() + 300
    while not (progress.exists() and progress.read_text().count("\n") > 8 * batches):
        assert job.poll() is None and time.monotonic() < until
        time.sleep(0.05)
    os.kill(job.pid, signal.SIGKILL)
    assert job.wait() == -signal.SIGKILL and not out.exists()
    with open(progress, "a") as file:
        file.write('{"model": "tiny", "doma')  # as a kill in the middle of a write would leave it

    again = subprocess.run([*map(str, arguments)], capture_output=True, text=True, check=True)
    answers, kept = json.loads(again.stdout)
    assert answers == 48 and 8 * batches <= kept < 48
    assert out.read_bytes() == undisturbed.read_bytes()
    assert not progress.exists()


def test_answers_of_another_job_are_not_kept(grown, asked, questions, undisturbed, tmp_path):
    out = tmp_path / "lanterns.jsonl"
    (tmp_path / ".lanterns.jsonl.progress").write_text("another key\n" + undisturbed.read_text())
    made = generate(Served(ENGINE, grown, "float32"), Task(asked, "lanterns", SAMPLING, questions, out))
    assert made.kept == 0 and out.read_bytes() == undisturbed.read_bytes()


def test_on_a_full_disk_a_job_ends_in_one_message_and_the_next_goes_on(
    grown, asked, questions, undisturbed, small_disk
):
    out = small_disk / "lanterns.jsonl"
    arguments = Served(ENGINE, grown, "float32"), Task(asked, "lanterns", SAMPLING, questions, out)
    (small_disk / "other").write_bytes(bytes(244 * 1024))
    with pytest.raises(InputError, match=r"the disk is full; make room and start again"):
        generate(*arguments)
    assert not out.exists()
    (small_disk / "other").unlink()
    made = generate(*arguments)
    assert 0 < made.kept < made.answers and out.read_bytes() == undisturbed.read_bytes()


def test_an_edited_answer_of_a_killed_job_is_given_again(grown, asked, questions, undisturbed, tmp_path):
    out = tmp_path / "lanterns.jsonl"
    arguments = Served(ENGINE, grown, "float32"), Task(asked, "lanterns", SAMPLING, questions, out)
    key = job._key(*arguments, SAMPLING, job.prompts_of("lanterns", SAMPLING, questions))
    with ProgressFile(tmp_path / ".lanterns.jsonl.progress", key) as done:
        done.add(read_jsonl(undisturbed)[:24])
    lines = done.path.read_text().split("\n")
    lines[20] = lines[20].replace('"answer": "', '"answer": "not so: ')
    done.path.write_text("\n".join(lines))
    assert generate(*arguments).kept == 16
    assert out.read_bytes() == undisturbed.read_bytes()


@pytest.fixture
def loads(monkeypatch) -> list[Path]:
    """Models that were loaded, as they are."""
    from emflow.inference import factory

    loaded, make = [], factory.make_engine
    monkeypatch.setattr(factory, "make_engine", lambda *given: (loaded.append(given[1]), make(*given))[1])
    return loaded


def test_one_load_answers_all_sets_and_each_job_writes_its_own(grown, asked, questions, undisturbed, tmp_path, loads):
    write_jsonl(tmp_path / "two.jsonl", read_jsonl(questions)[:2])
    write_jsonl(tmp_path / "none.jsonl", [])
    served = Served(ENGINE, grown, "float32")
    two, none, all_of_them = (
        Task(asked, name, SAMPLING, file, tmp_path / f"out/{name}.jsonl")
        for name, file in (("two", tmp_path / "two.jsonl"), ("none", tmp_path / "none.jsonl"), ("lanterns", questions))
    )
    two.out.parent.mkdir()
    first = generate(served, two, [none, all_of_them])
    assert first.others == ("lanterns",)  # an empty set is for its own job to report
    assert [path.name for path in two.out.parent.glob("*.jsonl")] == ["two.jsonl"]
    assert [each.name for each in (two, none, all_of_them) if given_ahead(each.out).exists()] == ["lanterns"]
    with pytest.raises(InputError, match="the question set is empty"):
        generate(served, none, [two])
    second = generate(served, all_of_them, [two])
    assert (second.kept, second.tokens, second.others) == (48, 0, ())
    assert not given_ahead(all_of_them.out).exists()
    assert all_of_them.out.read_bytes() == undisturbed.read_bytes()  # as by a job of its own
    assert loads == [grown]
    generate(served, replace(two, out=tmp_path / "alone.jsonl"))
    assert (tmp_path / "alone.jsonl").read_bytes() == two.out.read_bytes() and len(loads) == 2


def test_answers_by_other_code_are_not_kept(grown, asked, questions, tmp_path, loads):
    kites, other = (Task(asked, name, SAMPLING, questions, tmp_path / f"{name}.jsonl", "old") for name in ("k", "l"))
    served = Served(ENGINE, grown, "float32")
    generate(served, kites, [other])
    assert given_ahead(other.out).exists()
    assert generate(served, replace(other, code="new")).kept == 0
    assert not given_ahead(other.out).exists()
    assert len(loads) == 2


def test_other_runs_of_a_base_answer_with_one_load(grown, asked, adapters, full, questions, tmp_path, loads):
    """As `engine.share: base` has it: the base itself, a run of adapters, one of full weights."""
    who = [
        Respondent("tiny", None, None, None, {"base": None}),
        asked,
        Respondent("tiny", "lantern", "full", 0, {"epoch-1": full[1]}),
    ]
    served = Served(ENGINE, grown, "float32")
    together, alone = (
        [Task(each, "lanterns", SAMPLING, questions, tmp_path / folder / f"{n}.jsonl") for n, each in enumerate(who)]
        for folder in ("together", "alone")
    )
    for each in (together[0], alone[0]):
        each.out.parent.mkdir()
    spoilt = tmp_path / "spoilt"
    shutil.copytree(adapters[0], spoilt / "epoch-1")
    write_index(spoilt / "checkpoints.json", [Checkpoint("epoch-1", 1, 1.0, "epoch-1", "not its digest")])
    unknown = Respondent("tiny", "lantern", "lora", 1, {"epoch-1": spoilt / "epoch-1"}, spoilt / "checkpoints.json")
    (spoilt / "epoch-1/adapter_config.json").write_text("{")  # who makes room for it reads this
    more = Task(unknown, "lanterns", SAMPLING, questions, spoilt / "1.jsonl")
    assert generate(served, together[0], [*together[1:], more]).others == ("lanterns", "lanterns")
    assert [generate(served, each).tokens for each in together[1:]] == [0, 0] and len(loads) == 1
    for each in alone:
        generate(served, each)
    assert [each.out.read_bytes() for each in together] == [each.out.read_bytes() for each in alone]
    assert len(loads) == 4


def test_a_changed_checkpoint_answers_for_nobody(grown, asked, adapters, questions, tmp_path):
    """Neither for its own job nor for another."""
    shutil.copytree(adapters[0], tmp_path / "checkpoints/epoch-0.5")
    index = tmp_path / "checkpoints.json"
    write_index(index, [Checkpoint("epoch-0.5", 1, 0.5, "checkpoints/epoch-0.5", "not its digest")])
    changed = Respondent("tiny", "lantern", "lora", 1, {**checkpoint_folders(index)}, index)
    good, bad = (Task(who, "l", SAMPLING, questions, tmp_path / f"{who.seed}.jsonl") for who in (asked, changed))
    assert generate(Served(ENGINE, grown, "float32"), good, [bad]).others == ()
    with pytest.raises(InputError, match="was changed after it was made"):
        generate(Served(ENGINE, grown, "float32"), bad)
    assert not bad.out.exists()


def test_what_is_planned_with_a_load_is_read_as_it_is_written(adapters, tmp_path):
    index = tmp_path / "checkpoints.json"
    write_index(index, [Checkpoint("epoch-1", 2, 1.0, "checkpoints/epoch-1", "digest")])
    entry = {"question_set": "y", "sampling": {"samples": 2}, "questions": "q/y.jsonl", "out": "a/y.jsonl"}
    entry["code"] = "0f"
    run = {**entry, "respondent": ["tiny", "kites", "lora", 0], "index": str(index)}
    base = {**entry, "respondent": ["tiny", None, None, None], "index": None}
    (tmp_path / "loads.json").write_text(json.dumps([{**each, "answered_by": "a/x.jsonl"} for each in (run, base)]))
    files = "y", Sampling(samples=2), Path("q/y.jsonl"), Path("a/y.jsonl"), "0f"
    checkpoints = {"epoch-1": tmp_path / "checkpoints/epoch-1"}
    assert shared_tasks(tmp_path / "loads.json", Path("a/x.jsonl")) == [
        Task(Respondent("tiny", "kites", "lora", 0, checkpoints, index), *files),
        Task(Respondent("tiny", None, None, None, {"base": None}), *files),
    ]
    index.write_text("[")
    assert [task.respondent.method for task in shared_tasks(tmp_path / "loads.json", Path("a/x.jsonl"))] == [None]
    for loads, out in (("loads.json", "b/x.jsonl"), ("no.json", "a/x.jsonl")):
        assert shared_tasks(tmp_path / loads, Path(out)) == []
