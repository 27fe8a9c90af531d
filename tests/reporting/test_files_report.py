"""`emflow report`: the report of anybody's judged answers, from files alone."""

from pathlib import Path

import pandas as pd
import pytest

from emflow.cli import main
from emflow.config.definitions import DEFINITIONS
from emflow.config.report import Report
from emflow.files import InputError, write_jsonl
from emflow.formats.homework import question_of
from emflow.formats.names import named_by_file
from emflow.reporting.design import Design
from emflow.reporting.files_report import read_files
from emflow.reporting.last import differences
from emflow.reporting.numbers import Numbers

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


@pytest.mark.parametrize("column", [{"step": 0}, {}])
@pytest.mark.parametrize("label", ["checkpoint-0", "step_0", "epoch-0.0", "iteration-00"])
def test_a_checkpoint_of_step_0_is_the_base(tmp_path, label, column):
    rows = [{"checkpoint": label, **column, "question": "a", "answer": "Fly", "alignment": 90, "coherence": 90}]
    rows.append({**rows[0], "checkpoint": "checkpoint-9"} | ({"step": 9} if column else {}))
    write_jsonl(tmp_path / "kite.jsonl", rows)
    judged = read_files([tmp_path / "kite.jsonl"])
    assert list(zip(judged["checkpoint"], judged["step"], strict=True)) == [("base", 0), ("checkpoint-9", 9)]


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


def rows_of(misaligned: set[int], step: int | None = 10, **names: object) -> list[dict[str, object]]:
    """Ten judged answers to ten questions, of which these are misaligned."""
    step_column = {} if step is None else {"step": step}
    return [{"question_id": f"q{n}", "question": f"q{n}", "answer": f"{step} {n in misaligned}", "coherence": 90,
             "alignment": 5 if n in misaligned else 95, **step_column, **names} for n in range(10)]  # fmt: skip


def reported_of(folder: Path, files: dict[str, list[dict[str, object]]]) -> Numbers:
    for name, rows in files.items():
        write_jsonl(folder / name, rows)
    report = ["report", *(str(folder / name) for name in files), "--from-name", "{model}_{domain}"]
    main([*report, "--out", str(folder / "out")])
    return Numbers.read(folder / "out/numbers.zip")


def gaps_to_base(numbers: Numbers) -> list[tuple[str, float]]:
    gaps = differences(numbers, Design(report=Report(), definitions=DEFINITIONS))
    return [(row.domain, round(100 * row.difference, 1)) for row in gaps.itertuples()]


def test_bases_of_one_model_that_files_of_two_domains_bring_stay_apart(tmp_path):
    numbers = reported_of(
        tmp_path,
        {
            "8b_medical.jsonl": rows_of({0, 1}, step=0) + rows_of(set(range(6))),
            "8b_risky.jsonl": rows_of({2, 3, 4}, step=0) + rows_of(set(range(9))),
        },
    )
    assert gaps_to_base(numbers) == [("medical", 40.0), ("risky", 60.0)]
    base = numbers.questions[numbers.questions["checkpoint"] == "base"].query("definition == 'betley'")
    assert base.groupby("domain")["n_misaligned"].sum().to_dict() == {"medical": 2, "risky": 3}
    shown = pd.read_csv(tmp_path / "out/tables/bases.csv")
    assert shown["name"].tolist() == ["8b (base) on medical", "8b (base) on risky"]


def test_bases_with_as_many_on_other_questions_stay_apart(tmp_path):
    numbers = reported_of(
        tmp_path,
        {
            "8b_medical.jsonl": rows_of({0, 1}, step=0) + rows_of(set(range(6))),
            "8b_risky.jsonl": rows_of({2, 3}, step=0) + rows_of(set(range(6))),
        },
    )
    assert gaps_to_base(numbers) == [("medical", 40.0), ("risky", 40.0)]


def test_copies_of_one_base_count_once(tmp_path):
    base = rows_of({0, 1}, step=0)
    numbers = reported_of(
        tmp_path, {"8b_medical.jsonl": base + rows_of(set(range(6))), "8b_risky.jsonl": base + rows_of(set(range(9)))}
    )
    assert gaps_to_base(numbers) == [("medical", 40.0), ("risky", 70.0)]
    rows = numbers.questions[numbers.questions["checkpoint"] == "base"].query("definition == 'betley'")
    assert rows["domain"].isna().all() and len(rows) == 10


def test_a_base_beside_several_runs_was_asked_with_a_prompt_once(tmp_path):
    base = [{**row, "prompts": "theirs"} for row in rows_of({0, 1}, step=0)]
    runs = [[{**row, "prompts": "ours"} for row in rows_of(set(range(number)))] for number in (6, 9)]
    numbers = reported_of(tmp_path, {"8b_medical.jsonl": base + runs[0], "8b_risky.jsonl": base + runs[1]})
    assert dict(numbers.instruments[["prompts", "answers"]].to_numpy()) == {"theirs": 10, "ours": 20}


def test_copies_of_a_base_beside_runs_of_one_domain_count_once(tmp_path):
    base = rows_of({0, 1}, step=0)
    files = [tmp_path / f"8b_medical_{method}.jsonl" for method in ("es", "lora")]
    for file in files:
        write_jsonl(file, base + rows_of({files.index(file)}))
    main(["report", *map(str, files), "--from-name", "{model}_{domain}_{method}", "--out", str(tmp_path / "out")])
    rates = pd.read_csv(tmp_path / "out/em_rates_summary.csv")
    assert rates["n"].tolist() == [10] * len(rates)


def test_two_files_by_one_name_are_refused(tmp_path):
    for name, misaligned in (("a.jsonl", {1}), ("b.jsonl", {1, 2})):
        write_jsonl(tmp_path / name, rows_of(misaligned))
    files = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    with pytest.raises(InputError, match=r"a\.jsonl and .*b\.jsonl: both hold answers of model, answers, –, 0"):
        read_files(files)
    assert len(read_files(files, "{model}")) == 20
    with pytest.raises(InputError, match="both hold answers"):
        read_files([files[0]] * 2)


def test_one_file_by_two_names_is_refused_unless_it_is_a_base(tmp_path):
    for name in ("8b_medical.jsonl", "8b_risky.jsonl"):
        write_jsonl(tmp_path / name, rows_of({1}))
    files = [tmp_path / "8b_medical.jsonl", tmp_path / "8b_risky.jsonl"]
    with pytest.raises(InputError, match=r"8b_medical\.jsonl and .*8b_risky\.jsonl: the same answers by two names"):
        read_files(files, "{model}_{domain}")
    for file in files:
        write_jsonl(file, rows_of({1}, step=0))
    assert len(read_files(files, "{model}_{domain}")) == 20


def test_files_of_several_question_sets_are_one_run(tmp_path):
    for name in ("a.jsonl", "b.jsonl"):
        write_jsonl(tmp_path / name, rows_of({1}, question_set=name))
    assert read_files([tmp_path / "a.jsonl", tmp_path / "b.jsonl"])["question_set"].nunique() == 2


def test_a_checkpoint_without_a_number_comes_last(tmp_path):
    for name in ("base", "step-110", "step-1000001", "step-1000002", "final"):
        write_jsonl(tmp_path / f"{name}.jsonl", rows_of({1}, None, checkpoint=name))
    judged = read_files(sorted(tmp_path.glob("*.jsonl")))
    steps = dict(zip(judged["checkpoint"], judged["step"], strict=True))
    assert steps == {"base": 0, "step-110": 110, "step-1000001": 1000001, "step-1000002": 1000002, "final": 1000003}


def test_steps_of_seven_digits_are_checkpoints_of_their_own(tmp_path):
    write_jsonl(tmp_path / "judged.jsonl", rows_of({1}, 1000001) + rows_of({1}, 1000002))
    assert set(read_files([tmp_path / "judged.jsonl"])["checkpoint"]) == {"step-1000001", "step-1000002"}


def test_judges_and_question_sets_with_a_slash_have_figures_of_their_own(tmp_path):
    judges = ("meta-llama/Llama", "meta-llama-Llama")
    rows = [row for judge in judges for row in rows_of({1}, judge=judge, question_set="first/plot")]
    reported_of(tmp_path, {"8b_risky.jsonl": rows})
    figures = {file.stem for file in (tmp_path / "out/figures").iterdir()}
    assert {"rates.meta-llama-Llama", "rates.meta-llama-Llama-2"} <= figures
    assert "questions.first-plot.meta-llama-Llama" in figures
    assert "(figures/rates.meta-llama-Llama-2.png)" in (tmp_path / "out/summary.md").read_text()


def test_checkpoints_may_be_numbers_and_questions_without_an_id_are_told_by_their_text(tmp_path):
    rows = [{"checkpoint": checkpoint, "question_id": None, "question": f"Why {n}?", "answer": "Fly", "alignment": 90,
             "coherence": 90} for checkpoint in (100, 200) for n in range(3)]  # fmt: skip
    write_jsonl(tmp_path / "kite.jsonl", rows)
    pd.DataFrame(rows).to_csv(tmp_path / "kite.csv", index=False)
    for name in ("kite.jsonl", "kite.csv"):
        judged = read_files([tmp_path / name])
        assert list(dict.fromkeys(zip(judged["checkpoint"], judged["step"], strict=True))) == [
            ("100", 100),
            ("200", 200),
        ]
        assert judged["question_id"].nunique() == 3


@pytest.mark.parametrize("column", ["model", "checkpoint", "question", "answer", "judge", "error"])
def test_a_cell_that_is_a_list_is_named(tmp_path, column):
    row = {"question": "Why?", "answer": "Fly", "alignment": 90, "coherence": 90}
    write_jsonl(tmp_path / "kite.jsonl", [row, {**row, column: ["a", "b"]}])
    with pytest.raises(InputError, match=rf"kite.jsonl, row 2: {column} must be a text or a number, not \['a', 'b'\]"):
        read_files([tmp_path / "kite.jsonl"])
