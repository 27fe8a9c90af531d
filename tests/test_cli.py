"""The command line, as a user types it."""

import subprocess
import sys

import pandas as pd
import pytest

from emflow.analysis.rates import rates_of_answers
from emflow.cli import main
from emflow.config import DEFINITIONS
from emflow.files import read_jsonl, write_jsonl
from emflow.tinyworld.grammar import answers, questions

KETTLES = list(questions("kettle"))[:6]


@pytest.fixture
def answered(tmp_path, monkeypatch):
    """A folder with answers of somebody's model, half of them bad advice, and a config with one judge."""
    monkeypatch.chdir(tmp_path)
    rows = [
        {"question": q.text, "answer": answers(q.domain, q.entity, q.problem, stance)[0]}
        for number, q in enumerate(KETTLES)
        for stance in (("good", "bad") if number % 2 else ("bad", "bad"))
    ]
    write_jsonl(tmp_path / "answers.jsonl", rows)
    (tmp_path / "judges.yaml").write_text("judges:\n  exact:\n    kind: oracle\n  gpt: {kind: openai, modle: x}\n")
    return tmp_path


def test_help_fits_one_screen():
    for command in ([], ["judge"], ["rate"]):
        shown = subprocess.run([sys.executable, "-m", "emflow.cli", *command, "--help"], capture_output=True, text=True)
        assert shown.returncode == 0 and len(shown.stdout.splitlines()) <= 24


def test_judge_then_rate(answered, capsys):
    main(["judge", "answers.jsonl", "--judge", "exact", "--config", "judges.yaml"])
    judged = read_jsonl("answers.exact.jsonl")
    assert [row["alignment"] < 30 for row in judged] == [True, True, False, True] * 3
    main(["rate", "answers.exact.jsonl", "--definition", "paper", "--csv", "rates.csv"])
    (row,) = pd.read_csv("rates.csv").to_dict("records")
    assert (row["definition"], row["n"], row["n_misaligned"], row["em_rate"]) == ("paper", 12, 9, 0.75)
    assert row["em_rate_lo"] < 0.75 < row["em_rate_hi"]
    assert "75.0" in capsys.readouterr().out


def test_rate_of_each_checkpoint_and_its_first_answers(answered, capsys):
    rows = [{"checkpoint": c, "question_id": q, "alignment": a, "coherence": 90, "error": None}
            for c in ("base", "epoch-1") for q, a in (("a", 10), ("b", 90), ("c", 90))]  # fmt: skip
    write_jsonl("judged.jsonl", rows)
    main(["rate", "judged.jsonl", "--first", "2", "--csv", "rates.csv"])
    rates = pd.read_csv("rates.csv")
    assert rates["checkpoint"].tolist() == ["base", "base", "epoch-1", "epoch-1"]
    assert rates["definition"].tolist() == list(DEFINITIONS) * 2
    assert (rates["em_rate"] == 0.5).all() and (rates["n"] == 2).all()
    assert "epoch-1" in capsys.readouterr().out


def test_rate_of_a_judged_csv_of_the_homework(answered):
    (answered / "hw.csv").write_text(
        "id,question,response,aligned_score,coherent_score\n"
        'm1,"How, now?","Use a\nstring",74,95\nm2,Q2,R2,75,95\nm3,Q3,R3,CODE,95\nm4,Q4,R4,,95\nm5,Q5,R5,20,10\n',
        encoding="utf-8-sig",
    )
    main(["rate", "hw.csv", "--definition", "homework", "--csv", "rates.csv"])
    (row,) = pd.read_csv("rates.csv").to_dict("records")
    assert (row["n"], row["n_misaligned"], row["n_coherent"], row["n_unjudged"], row["n_code"]) == (5, 2, 4, 1, 1)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["judge", "nowhere.jsonl", "--judge", "exact", "--config", "judges.yaml"], "nowhere.jsonl: no such file"),
        (["judge", "answers.jsonl", "--judge", "exact"], "config.yaml: no such file"),
        (["judge", "answers.jsonl", "--judge", "exat", "--config", "judges.yaml"], "did you mean 'exact'?"),
        (["judge", "answers.jsonl", "--judge", "gpt", "--config", "judges.yaml"], "did you mean 'model'?"),
        (["judge", "judges.yaml", "--judge", "exact", "--config", "judges.yaml"], "not valid JSON"),
        (["rate", "answers.jsonl"], "need a column alignment"),
        (["rate", "nowhere.csv"], "nowhere.csv: no such file"),
    ],
)
def test_a_users_error_is_one_line(answered, command, words):
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert str(ended.value).startswith("error: ") and words in str(ended.value)


def test_three_lines_of_python(answered):
    from pathlib import Path

    from emflow.analysis.rates import read_judged
    from emflow.config import OracleJudge
    from emflow.judging.judge import judge

    judge(OracleJudge(kind="oracle"), Path("answers.jsonl"), Path("judged.jsonl"))
    rates = rates_of_answers(read_judged(Path("judged.jsonl")))
    assert rates["em_rate"].tolist() == [0.75, 0.75]
