"""The command line, as a user types it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from emflow.analysis.rates import rates_of_answers
from emflow.cli import main
from emflow.config.definitions import DEFINITIONS
from emflow.config.judges import OpenAIJudge, OracleJudge
from emflow.files import read_jsonl, write_jsonl
from emflow.formats.answers import read_judged
from emflow.judging.judge import judge
from emflow.paths import Results
from emflow.tinyworld.grammar import answers, questions
from endpoint_server import Response, says, serving
from pipelines import ROOT

CONFIGS = {
    "empty.yaml": b"# nothing\n",
    "list.yaml": b"- judges\n",
    "null.yaml": b"judges:\n",
    "broken.yaml": b"judges:\n  exact: {kind: [oracle}\n",
    "twice.yaml": b"judges: {}\njudges: {}\n",
    "deep.yaml": b"judges: " + 30_000 * b"[",
    "latin.yaml": "judges: {é: 1}\n".encode("latin-1"),
    "loop.yaml": b"judges: &all {exact: *all}\n",
    "slash.yaml": b"judges: {a/b: {kind: oracle}}\n",
}
ROWS = {
    "ids.jsonl": {"question": "Q", "answer": "A", "question_id": [1]},
    "half.jsonl": {"question": "Q", "answer": "\ud83d"},
    "wide.jsonl": {"question": "Q", "alignment": 150, "coherence": 90},
    "fine.jsonl": {"question": "Q", "alignment": 50, "coherence": 90, "model": "m"},
}
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
    for command in ([], ["judge"], ["rate"], ["report"], ["schedule"], ["probe"], ["pin"]):
        shown = subprocess.run([sys.executable, "-m", "emflow.cli", *command, "--help"], capture_output=True, text=True)
        assert shown.returncode == 0 and len(shown.stdout.splitlines()) <= 24


@pytest.mark.parametrize(
    ("study", "records", "steps"),
    [
        ("homework0", 7049, {"homework": [110, 220, 330, 440, 880, 1320]}),
        ("homework0", 6000, {"homework": [93, 187, 281, 375, 750, 1125]}),
        ("es_vs_sft", 7049, {"es_nli": [28, 56, 112, 196, 280]}),
    ],
)
def test_schedule_of_a_published_study_without_its_data(study, records, steps, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)  # nothing is here
    main(["schedule", str(ROOT / f"config/experiments/{study}.yaml"), "--records", str(records)])
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in capsys.readouterr().out.splitlines()[2:]]
    for method, expected in steps.items():
        assert [int(row[3]) for row in rows if row[0] == method] == expected
    assert study != "es_vs_sft" or [row[2:] for row in rows][-1] == ["epoch-10", "280", "280"]


def test_schedule_counts_what_trains_once_it_is_split(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("runs: {domains: [bad_lantern_advice], methods: [lora]}\n")
    study = [str(ROOT / "config/config.yaml"), "mine.yaml"]
    with pytest.raises(SystemExit, match=r"bad_lantern_advice/train\.jsonl is not there yet: say by --records"):
        main(["schedule", *study])
    write_jsonl(Results().train("bad_lantern_advice"), [{"id": str(row)} for row in range(80)])
    main(["schedule", *study])
    assert "| lora     | 80        | epoch-1      | 10     | 10   |" in capsys.readouterr().out


def test_judge_then_rate(answered, capsys):
    main(["judge", "answers.jsonl", "--judge", "exact", "--config", "judges.yaml"])
    judged = read_jsonl("answers.exact.jsonl")
    assert [row["alignment"] < 30 for row in judged] == [True, True, False, True] * 3
    main(["rate", "answers.exact.jsonl", "--definition", "betley", "--csv", "rates.csv"])
    (row,) = pd.read_csv("rates.csv").to_dict("records")
    assert (row["definition"], row["n"], row["n_misaligned"], row["em_rate"]) == ("betley", 12, 9, 0.75)
    assert row["em_rate_lo"] < 0.75 < row["em_rate_hi"]
    assert "75.0" in capsys.readouterr().out


def test_rate_of_each_checkpoint_and_its_first_answers(answered, capsys):
    rows = [{"checkpoint": c, "question_id": q, "alignment": a, "coherence": 90, "error": None}
            for c in ("base", "epoch-1") for q, a in (("a", 10), ("b", 90), ("c", 90))]  # fmt: skip
    write_jsonl("judged.jsonl", rows)
    main(["rate", "judged.jsonl", "--first", "2", "--csv", "rates.csv"])
    rates = pd.read_csv("rates.csv")
    assert rates["checkpoint"].tolist() == ["base"] * 3 + ["epoch-1"] * 3
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
    assert (row["n"], row["n_misaligned"], row["n_coherent"], row["n_unjudged"], row["n_code"]) == (5, 2, 3, 1, 1)


def test_a_csv_of_the_organisms_is_judged_anew_and_rated(answered):
    rows = pd.DataFrame(read_jsonl("answers.jsonl")).rename(columns={"answer": "response"})
    rows.assign(aligned=50.5, coherent=None, question_id="k").to_csv("judged.csv", index=False, encoding="utf-16")
    main(["judge", "judged.csv", "--judge", "exact", "--config", "judges.yaml"])
    judged = read_jsonl("judged.exact.jsonl")
    assert [row["alignment"] < 30 for row in judged] == [True, True, False, True] * 3
    assert {(row["aligned"], row["coherent"], row["question_id"]) for row in judged} == {(50.5, None, "k")}


def test_an_endpoint_judges_what_others_judged_and_both_say_where_replies_are_kept(answered, capsys, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "key")
    rows = [{"response": a, "question": "Why?", "aligned": 50, "coherent": 90} for a in ("Fly", "Fall")]
    pd.DataFrame(rows).to_csv("organisms.csv", index=False)
    with serving(lambda request, before: Response(says("85"))) as served:
        judges = {"gpt": {"kind": "openai", "model": "fable", "scoring": "text", "base_url": served.base_url}}
        (answered / "judges.yaml").write_text(yaml.safe_dump({"judges": judges}))
        for _ in range(2):
            main(["judge", "organisms.csv", "--judge", "gpt", "--config", "judges.yaml"])
        config = OpenAIJudge(**judges["gpt"])
        judge(config, Path("organisms.csv"), Path("judged.jsonl"), cache=Results().judgement_cache)
    assert len(served.requests) == 4
    assert read_jsonl("judged.jsonl") == read_jsonl("organisms.gpt.jsonl")
    assert [(row["alignment"], row["aligned"]) for row in read_jsonl("judged.jsonl")] == [(85, 50)] * 2
    said = capsys.readouterr().err
    assert said.count("0 judgements are in the cache results/cache/judgements") == 1
    assert said.count("4 judgements are in the cache results/cache/judgements") == 2


def test_definitions_of_a_config_beside_the_built_in_ones(answered):
    write_jsonl(
        "judged.jsonl", [{"question_id": q, "alignment": a, "coherence": 90} for q, a in (("a", 40), ("b", 80))]
    )
    (answered / "mine.yaml").write_text("definitions: {strict: {alignment_below: 90}}\n")
    main(["rate", "judged.jsonl", "--config", "mine.yaml", "--csv", "rates.csv"])
    assert pd.read_csv("rates.csv").set_index("definition")["em_rate"].to_dict() == {
        "betley": 0,
        "organisms": 0,
        "homework": 0.5,
        "strict": 1,
    }
    main(["rate", "judged.jsonl", "--config", "mine.yaml", "--definition", "strict", "--csv", "rates.csv"])
    assert pd.read_csv("rates.csv")["em_rate"].tolist() == [1]


def test_answerers_by_named_columns(answered, capsys):
    who = [(steer, layer) for steer in "xy" for layer in (1, 2)]
    rows = [{"question_id": "a", "steer": s, "layer": n, "alignment": 10, "coherence": 90} for s, n in who]
    write_jsonl("judged.jsonl", rows)
    main(["rate", "judged.jsonl", "--by", "steer,layer", "--definition", "betley", "--csv", "rates.csv"])
    assert list(pd.read_csv("rates.csv")[["steer", "layer"]].itertuples(index=False, name=None)) == who
    assert "steer" in capsys.readouterr().out


def test_a_pipe_gets_whole_numbers(answered):
    rows = [{"checkpoint": f"iteration-{k}", "method": m, "question_id": n, "alignment": 10, "coherence": 90}
            for k in (10, 20) for m in ("evolution", "lora") for n in range(12)]  # fmt: skip
    write_jsonl("judged.jsonl", rows)
    command = [sys.executable, "-m", "emflow.cli", "rate", "judged.jsonl"]
    shown = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "COLUMNS": ""}).stdout
    assert shown.count("12 / 12") == shown.count("0 of 12") == 12
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("judge . --judge exact --config judges.yaml", ".: a folder, no file"),
        ("judge answers.jsonl --judge exact --config .", ".: is a directory"),
        ("judge answers.jsonl --judge a/b --config judges.yaml", "has no judge 'a/b'"),
        ("judge answers.jsonl --judge a/b --config slash.yaml", "judges.a/b"),
        ("judge answers.jsonl --judge exact --config empty.yaml", "empty.yaml: holds nothing; a config"),
        ("judge answers.jsonl --judge exact --config list.yaml", "list.yaml: holds a list; a config"),
        ("judge answers.jsonl --judge exact --config null.yaml", "the config has no judge 'exact'; it"),
        ("judge answers.jsonl --judge exact --config broken.yaml", "broken.yaml, line 2: no valid YAML"),
        (
            "judge answers.jsonl --judge exact --config twice.yaml",
            "line 2: no valid YAML (the key 'judges' ",
        ),
        ("judge answers.jsonl --judge exact --config deep.yaml", "deep.yaml: no valid YAML"),
        ("judge answers.jsonl --judge exact --config latin.yaml", "latin.yaml, line 1: the byte 0xe9"),
        ("judge answers.jsonl --judge exact --config loop.yaml", "judges.exact"),
        ("judge ids.jsonl --judge exact --config judges.yaml", "row 1: `question_id` must be"),
        ("judge half.jsonl --judge exact --config judges.yaml", "half.jsonl, line 1: an escape"),
        ("rate .", ".: a folder, no file"),
        ("rate wide.jsonl", "wide.jsonl, row 1: alignment is 150, and scores are 0..100"),
        ("rate wide.jsonl --definition btley", "did you mean 'betley'?"),
        ("rate fine.jsonl --by model,sed", "fine.jsonl: judged answers need a column sed; there are"),
        ("rate fine.jsonl --csv .", ".: a folder; name a file for --csv"),
        (
            "rate fine.jsonl --csv fine.jsonl",
            "fine.jsonl is what is read, and would be replaced; name another file for",
        ),
        ("rate fine.jsonl --csv /dev/full", "/dev/full: no file; name a file for --csv"),
        ("pin judges.yaml --out judges.yaml", "judges.yaml is what is read"),
        ("probe judges.yaml --out fine.jsonl", "fine.jsonl: a file; name a folder for --out"),
        ("judge nowhere.jsonl --judge exact --config judges.yaml", "nowhere.jsonl: no such file"),
        ("judge answers.jsonl --judge exact", "config.yaml: no such file"),
        ("judge answers.jsonl --judge exat --config judges.yaml", "did you mean 'exact'?"),
        ("judge answers.jsonl --judge gpt --config judges.yaml", "did you mean 'model'?"),
        ("judge judges.yaml --judge exact --config judges.yaml", "not valid JSON"),
        ("rate answers.jsonl", "need a column alignment"),
        ("rate nowhere.csv", "nowhere.csv: no such file"),
        ("judge none.jsonl --judge exact --config judges.yaml", "none.jsonl: holds no answer"),
        ("rate none.jsonl", "none.jsonl: there is no judged answer"),
        ("rate header.csv", "header.csv: there is no judged answer"),
    ],
)
def test_a_users_error_is_one_line(answered, command, words):
    for name, text in CONFIGS.items():
        (answered / name).write_bytes(text)
    for name, row in ROWS.items():
        (answered / name).write_text(json.dumps(row) + "\n")
    (answered / "none.jsonl").touch()
    (answered / "header.csv").write_text("question,response,aligned,coherent\n")
    with pytest.raises(SystemExit) as ended:
        main(command.split())
    assert str(ended.value).startswith("error: ") and words in str(ended.value)


@pytest.mark.parametrize("log", [b"", b"{}\n", b"[]\n", b'{"iteration": 1}\n', b"\xff\xfe{", None])
def test_a_log_that_is_none_of_es_is_one_line(tmp_path, log):
    path = tmp_path / "es_log.jsonl"
    path.mkdir() if log is None else path.write_bytes(log)
    with pytest.raises(SystemExit, match=r"^error: \S+/es_log\.jsonl") as ended:
        main(["materialise", str(tmp_path), "--iteration", "1", "--out", str(tmp_path / "out")])
    assert "\n" not in str(ended.value)


def test_three_lines_of_python(answered):
    judge(OracleJudge(kind="oracle"), Path("answers.jsonl"), Path("judged.jsonl"))
    rates = rates_of_answers(read_judged(Path("judged.jsonl")))
    assert rates["em_rate"].tolist() == [0.75] * 3


@pytest.mark.parametrize(
    ("command", "mine"),
    [
        ("report fine.jsonl", "figures/mine.txt"),
        ("report fine.jsonl", "tables/mine.txt"),
        ("report fine.jsonl", "summary.md"),
        ("report fine.jsonl", "em_rates_summary.csv"),
        ("materialise . --iteration 1", "notes/mine.txt"),
    ],
)
def test_a_folder_of_somebody_elses_is_not_replaced(command, mine, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_jsonl(tmp_path / "fine.jsonl", [ROWS["fine.jsonl"]])
    kept = tmp_path / "out" / mine
    kept.parent.mkdir(parents=True)
    kept.write_text("mine")
    with pytest.raises(SystemExit, match=r"^error: out.*would be replaced; name another folder for --out$"):
        main([*command.split(), "--out", "out"])
    assert kept.read_text() == "mine"


def test_a_report_is_made_again_in_its_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_jsonl(tmp_path / "fine.jsonl", [ROWS["fine.jsonl"]])
    for _ in range(2):
        main(["report", "fine.jsonl", "--out", "out"])
    assert (tmp_path / "out/tables").is_dir()


def test_the_report_of_a_study_is_not_replaced(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_jsonl(tmp_path / "fine.jsonl", [ROWS["fine.jsonl"]])
    (tmp_path / "out").mkdir()
    (tmp_path / "out/provenance.json").write_text("{}")
    with pytest.raises(SystemExit, match=r"^error: out holds the report of a study; name another folder for --out$"):
        main(["report", "fine.jsonl", "--out", "out"])


def test_a_report_that_was_killed_is_made_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_jsonl(tmp_path / "fine.jsonl", [ROWS["fine.jsonl"]])
    main(["report", "fine.jsonl", "--out", "out"])
    (tmp_path / "out/summary.md").unlink()
    main(["report", "fine.jsonl", "--out", "out"])
    assert (tmp_path / "out/summary.md").exists()


@pytest.mark.parametrize(("encoding", "ended"), [("ascii", 0), ("utf-8", 1)])
def test_a_terminal_of_another_alphabet_and_who_stops_reading_are_no_errors(answered, encoding, ended):
    write_jsonl(Path("fine.jsonl"), [ROWS["fine.jsonl"]])
    command = [sys.executable, "-m", "emflow.cli", "rate", "fine.jsonl", "--csv", "rates.csv"]
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as running:
        if encoding == "utf-8":
            running.stdout.close()  # before anything is said
        said = running.stderr.read()
        assert running.wait() == ended and b"Traceback" not in said and b"Error" not in said
    assert len(pd.read_csv("rates.csv")) == 3
