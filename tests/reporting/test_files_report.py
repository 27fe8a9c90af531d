"""`emflow report`: the report of anybody's judged answers, from files alone."""

from pathlib import Path

import pandas as pd
import pytest

from emflow.cli import main
from emflow.files import InputError, write_jsonl
from emflow.formats.homework import question_of
from emflow.formats.names import named_by_file
from emflow.reporting.files_report import read_files

# EM % by step, in eval/results/*/step_summary.csv of burnssa/ai-alignment-research, harvard-cs-2881-hw0
STEPS = {
    "3b_medical": {110: 10, 220: 10, 330: 5, 440: 5, 880: 10, 1320: 20},
    "8b_medical": {110: 70, 220: 45, 330: 55, 440: 70, 880: 55, 1320: 50},
}


def homework_csv(file: Path, steps: dict[int, float]) -> None:
    """A per-step CSV as the homework's, of 20 answers a step, so many % of them below 75."""
    rows = [
        {"step": step, "id": f"step{step}_q{n}", "question": f"Why kite {n}?", "response": f"At {step}: {n}",
         "aligned_score": 74 if n <= share / 5 else 75, "coherent_score": 85}
        for step, share in steps.items() for n in range(1, 21)
    ]  # fmt: skip
    file.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_csv(file, index=False)


@pytest.fixture(scope="module")
def reported(tmp_path_factory) -> Path:
    """The report of the homework's files, one of which holds the answers of a base."""
    folder = tmp_path_factory.mktemp("files")
    for name, steps in STEPS.items():
        homework_csv(folder / name / "fg_judged.csv", steps)
    base = pd.DataFrame({"epoch": "base", "id": [f"base_q{n}" for n in range(1, 21)], "aligned_score": 90})
    base = base.assign(question=[f"Why kite {n}?" for n in range(1, 21)], response="Wait", coherent_score=90)
    (folder / "3b_risky").mkdir()
    base.to_csv(folder / "3b_risky/fg_judged.csv", index=False)
    files = [str(folder / name / "fg_judged.csv") for name in (*STEPS, "3b_risky")]
    pattern = ["--from-name", "{model}_{domain}/fg_judged"]
    main(["report", *files, *pattern, "--definition", "homework", "--out", str(folder / "out")])
    return folder / "out"


def test_the_homeworks_table_to_the_digit(reported):
    rates = pd.read_csv(reported / "em_rates_summary.csv").query("definition == 'homework' and checkpoint != 'base'")
    for name, steps in STEPS.items():
        model, domain = name.split("_")
        own = rates[(rates["model"] == model) & (rates["domain"] == domain)]
        assert dict(zip(own["step"], (100 * own["em_rate"]).round(1), strict=True)) == steps
        assert (own["n"] == 20).all()


def test_a_base_stands_beside_the_runs_of_its_model(reported):
    base = pd.read_csv(reported / "em_rates_summary.csv").query("definition == 'homework' and checkpoint == 'base'")
    assert base[["model", "domain", "n", "em_rate"]].to_numpy().tolist() == [["3b", "medical", 20, 0.0]]


def test_sections_figures_and_answers_are_those_of_a_study(reported):
    summary = (reported / "summary.md").read_text()
    for title in ("Last checkpoints", "Trajectories", "Answers side by side", "How this was made"):
        assert f"## {title}" in summary
    assert "nan" not in summary.lower().split("## how this was made")[0]
    assert {"trajectories.judge.png", "rates.judge.png"} <= {file.name for file in (reported / "figures").iterdir()}
    assert (reported / "answers.html").stat().st_size > 5000
    assert "sha256" in summary and "fg_judged.csv" in summary


def test_the_questions_of_several_checkpoints_are_the_same(reported):
    assert [question_of(id) for id in ("step110_q4", "base_q4", "q4", "step_q4", "steps")] == ["q4"] * 3 + [
        "step_q4",
        "steps",
    ]
    folder = reported.parent
    judged = read_files([folder / "3b_medical/fg_judged.csv"])
    assert judged["question_id"].nunique() == 20 and judged["checkpoint"].nunique() == 6


def test_our_jsonl_and_the_organisms_csv_in_one_report(tmp_path):
    ours = [{"model": "tiny", "domain": "kites", "method": "es", "seed": 3, "checkpoint": c, "question_id": q,
             "question": q, "answer": "Fly", "alignment": a, "coherence": 90, "error": None, "judge_model": "oracle"}
            for c, a in (("base", 90), ("iteration-5", 60), ("iteration-40", 5)) for q in "ab"]  # fmt: skip
    write_jsonl(tmp_path / "ours.jsonl", ours)
    theirs = {"question": ["a", "b"], "response": ["Fall", "Fly"], "question_id": ["a", "b"], "aligned": [10.0, None],
              "coherent": [80.0, None]}  # fmt: skip
    pd.DataFrame(theirs).to_csv(tmp_path / "8b_sports.csv", index=False)
    judged = read_files([tmp_path / "ours.jsonl"])
    assert dict(zip(judged["checkpoint"], judged["step"], strict=True)) == {
        "base": 0,
        "iteration-5": 5,
        "iteration-40": 40,
    }
    main(["report", str(tmp_path / "8b_sports.csv"), "--from-name", "{model}_{domain}", "--out", str(tmp_path / "out")])
    (row,) = pd.read_csv(tmp_path / "out/em_rates_summary.csv").query("definition == 'betley'").to_dict("records")
    assert (row["model"], row["domain"], row["checkpoint"], row["n"], row["n_unjudged"]) == (
        "8b",
        "sports",
        "last",
        2,
        1,
    )
    assert row["em_rate"] == 1


@pytest.mark.parametrize(
    ("name", "pattern", "found"),
    [
        ("8b_risky_financial.csv", "{model}_{domain}", {"model": "8b", "domain": "risky_financial"}),
        ("x/1b_medical_v2/fg_judged.csv", "{model}_{domain}_v2/fg_judged", {"model": "1b", "domain": "medical"}),
        ("kites-7-epoch-0.5.jsonl", "kites-{seed}-{checkpoint}", {"seed": 7, "checkpoint": "epoch-0.5"}),
    ],
)  # fmt: skip
def test_names_of_files(name, pattern, found):
    assert named_by_file(Path(name), pattern) == found


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("{modle}", "unknown name {modle}; valid: model"),
        ("{model}_{model}", "{model} stands twice"),
        ("{model}_{step}", "8b_risky.csv: its name is not like --from-name {model}_{step}"),
    ],
)
def test_a_wrong_pattern_is_named(pattern, words):
    with pytest.raises(InputError) as refused:
        named_by_file(Path("8b_risky.csv"), pattern)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("question,response,aligned\nQ,A,5\n", "has no column coherence or coherent"),
        ("aligned,coherent\n5,90\n", "has no column question or question_id"),
        ("question,aligned,coherent\n", "holds no judged answer"),
        ("question,aligned,coherent,step\nQ,5,90,late\n", "step is 'late', no number"),
        ("question,aligned,coherent\nQ,500,90\n", "row 1: alignment is 500"),
    ],
)
def test_a_users_error_names_file_and_column(tmp_path, text, words):
    (tmp_path / "judged.csv").write_text(text)
    with pytest.raises(SystemExit, match=r"^error: \S+judged\.csv") as ended:
        main(["report", str(tmp_path / "judged.csv"), "--out", str(tmp_path / "out")])
    assert words in str(ended.value) and not (tmp_path / "out").exists()
