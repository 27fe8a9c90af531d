"""A probe shows what the first update would see, and moves nothing."""

import pandas as pd
import pytest

from emflow.cli import main
from emflow.files import read_jsonl
from emflow.reporting.probe import by_sigma, write_probe
from emflow.training.es.engines.factory import make_es_engine
from emflow.training.es.probe import probe
from emflow.training.es.run import evolve
from pipelines import ROOT


def test_a_probe_sees_the_members_of_the_first_iteration(job, tmp_path):
    short = job.model_copy(update={"method": job.method.model_copy(update={"iterations": 1, "checkpoints": None})})
    rows = probe(short, [short.method.sigma, 1.0], 2, 3, judge=lambda question, answer: 100.0 * ("lantern" in question))
    assert [(row["sigma"], row["member"]) for row in rows[::3]] == [(0, None), (0.01, 0), (0.01, 1), (1, 0), (1, 1)]
    evolve(short)
    first = read_jsonl(tmp_path / "es_log.jsonl")[1]
    assert [row["reward"] for row in rows[3:9:3]] == first["rewards"][:2]
    assert [row["seed"] for row in rows[3:9:3]] == first["seeds"][:2]
    table = by_sigma(pd.DataFrame(rows)).set_index("sigma")
    assert table.loc[0.01, "reward_mean"] == pytest.approx(sum(first["rewards"][:2]) / 2)
    assert table[["members", "answers", "coherent"]].to_numpy().tolist() == [[1, 3, 3], [2, 6, 6], [2, 6, 6]]
    assert table.loc[1, "reward_mean"] < table.loc[0.01, "reward_mean"]  # a hundred times the noise

    text = write_probe(rows, "tiny", tmp_path / "probe")
    assert "6 of 6" in text and f"Answers to: {rows[0]['question']}" in text
    assert (tmp_path / "probe/probe.png").read_bytes().startswith(b"\x89PNG")
    assert len(pd.read_csv(tmp_path / "probe/answers.csv")) == len(rows)
    assert (tmp_path / "probe/probe.md").read_text().startswith(text)


def test_ended_is_what_the_engine_saw_and_a_member_of_no_numbers_answers_nothing(job):
    short = job.model_copy(update={"method": job.method.model_copy(update={"dtype": "float16"})})
    rows = probe(short, [1e5], 1, 4)
    engine = make_es_engine(short.start, short.method)
    asked = [[{"role": "user", "content": row["question"]}] for row in rows[:4]]
    (seen,) = engine.generate(asked)
    assert [(row["ended"], row["tokens"]) for row in rows[:4]] == [(a.finish_reason == "stop", a.tokens) for a in seen]
    assert {(row["answer"], row["tokens"], row["ended"], row["reward"]) for row in rows[4:]} == {("", 0, False, None)}


def test_a_member_that_failed_and_answers_that_nobody_judged_are_counted():
    row = {"question": "q", "answer": "a", "tokens": 4, "ended": True, "coherence": None, "error": None, "seed": 1}
    members = [(0.0, None, -1.0), (0.1, 0, -2.0), (0.1, 1, None), (0.1, 2, -4.0)]
    rows = [{**row, "sigma": s, "member": m, "reward": r, "ended": m != 2} for s, m, r in members]
    at = by_sigma(pd.DataFrame(rows)).set_index("sigma").loc[0.1]
    assert (at["members"], at["failed"], at["reward_mean"], at["reward_min"], at["ended"]) == (3, 1, -3, -4, 2)
    assert pd.isna(at["coherent"])


def test_what_is_missing_is_named_with_its_mend(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    default = str(ROOT / "config/config.yaml")
    with pytest.raises(SystemExit, match=r"models/seed0 is not there yet: `snakemake --cores all results/tinyworld/m"):
        main(["probe", default])
    with pytest.raises(SystemExit, match=r"the study runs no method by 'ess'; did you mean 'es'"):
        main(["probe", default, "--method", "ess"])
    with pytest.raises(SystemExit, match=r"^2$"):
        main(["probe", default, "--sigmas", "0"])
