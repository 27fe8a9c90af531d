"""The tables of the report are what the answers say, and come back from their file as they were."""

import io
from zipfile import ZipFile

import pandas as pd
import pytest

from emflow.config.definitions import DEFINITIONS
from emflow.paths import ReportFolder
from emflow.reporting.design import Design
from emflow.reporting.numbers import Numbers, read_rows
from emflow.reporting.report import write_report
from emflow.reporting.tabulate import numbers_of_answers

ROWS = [
    {"model": model, "question_id": f"q{i % 4}", "question": f"what of {i % 4}?", "answer": f"a {i}",
     "alignment": [10, 90, "REFUSAL", 50][i // 4], "coherence": 40 if i == 0 else 90, "error": None}
    for model in ("NA", "kite")
    for i in range(16)
]  # fmt: skip


@pytest.fixture
def numbers() -> Numbers:
    return numbers_of_answers(pd.DataFrame(ROWS), DEFINITIONS, 0.95)


def test_counts_per_question_add_up_to_the_rates(numbers):
    keys = ["model", "definition"]
    counts = numbers.questions.groupby(keys)[["n", "n_coherent", "n_misaligned"]].sum()
    pd.testing.assert_frame_equal(counts, numbers.rates.set_index(keys)[list(counts)].sort_index(), check_dtype=False)
    assert numbers.scores.groupby("model")["answers"].sum().to_dict() == {"NA": 16, "kite": 16}
    assert set(numbers.scores["alignment"]) == {10, 90, 50, "REFUSAL"}


def test_a_file_holds_them_as_they_are(numbers, tmp_path):
    numbers.write(tmp_path / "numbers.zip")
    read = Numbers.read(tmp_path / "numbers.zip")
    pd.testing.assert_frame_equal(read.questions, numbers.questions, check_dtype=False)
    assert set(read.rates["model"]) == {"NA", "kite"} and read.logs.empty


def test_a_table_that_an_earlier_version_did_not_know_is_empty(numbers, tmp_path):
    numbers.write(tmp_path / "numbers.zip")
    with ZipFile(tmp_path / "numbers.zip") as now, ZipFile(tmp_path / "old.zip", "w") as old:
        for name in set(now.namelist()) - {"probes.csv"}:
            old.writestr(name, now.read(name))
    read = Numbers.read(tmp_path / "old.zip")
    assert read.probes.empty and list(read.probes) == list(numbers.probes) and len(read.rates) == len(numbers.rates)


def test_two_instruments_are_not_compared_in_silence(tmp_path):
    sets = {"held_out": "ours", "free": "kind.yaml"}
    rows = [{**row, "question_set": name, "prompts": prompts} for name, prompts in sets.items() for row in ROWS]
    for alike, told in ((False, True), (True, False)):
        judged = pd.DataFrame(rows).assign(**({"prompts": "ours"} if alike else {}))
        write_report(numbers_of_answers(judged, DEFINITIONS, 0.95), Design(), ReportFolder(tmp_path))
        assert ("More than one instrument" in (tmp_path / "summary.md").read_text()) == told
        assert (tmp_path / "tables/instruments.csv").exists() == told
        if told:
            table = pd.read_csv(tmp_path / "tables/instruments.csv")
            assert dict(zip(table["question_set"], table["prompts"], strict=True)) == sets
            assert set(table["answers"]) == {32}


def test_answers_from_anywhere_have_a_report(numbers, tmp_path):
    write_report(numbers, Design(), ReportFolder(tmp_path))
    summary = (tmp_path / "summary.md").read_text()
    assert "NA · answers" in summary and "3 / 15" in summary and "nan" not in summary
    assert (tmp_path / "figures/rates.judge.png").exists() and (tmp_path / "tables/last_checkpoints.csv").exists()


def test_names_that_look_like_numbers_or_nothing_stay_names():
    rows = b"model,domain,method,seed,definition,em_rate\nNA,null,1.50,0,nan,\n"
    read = read_rows(io.BytesIO(rows))
    assert read.iloc[0, :5].tolist() == ["NA", "null", "1.50", 0, "nan"] and read["em_rate"].isna().all()
