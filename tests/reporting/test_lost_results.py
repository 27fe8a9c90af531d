"""Empty, partial and failed results of every section: the report says so, without an error and without a nan."""

import re
from dataclasses import replace

import pandas as pd
import pytest

import planted
from emflow.paths import ReportFolder
from emflow.reporting.numbers import Numbers
from emflow.reporting.report import write_report

DESIGN = planted.design()
BAD = "bad_medical_advice"
FAILED = {"alignment": None, "coherence": None, "error": "timed out"}
RATES = ["em_rate", "em_rate_lo", "em_rate_hi", "em_rate_answers_lo", "em_rate_answers_hi", "em_rate_all",
         "coherent_share", "alignment_mean", "coherence_mean"]  # fmt: skip


@pytest.fixture(scope="module")
def answers() -> pd.DataFrame:
    """Of one model and seed, to two question sets."""
    answers = planted.judged(("llama-1b",), 1)
    return answers[answers["question_set"] != "chosen_on"].reset_index(drop=True)


def written(numbers: Numbers, folder) -> str:
    write_report(numbers, DESIGN, ReportFolder(folder))
    summary = (folder / "summary.md").read_text()
    told = summary.partition("## How this was made")[0]
    assert not re.search(r"\b(nan|NaT|None|inf)\b", told), re.findall(r".*\bnan\b.*", told)[:3]
    for figure in re.findall(r"\(figures/(\S+\.png)\)", summary):
        assert (folder / "figures" / figure).read_bytes().startswith(b"\x89PNG")
    return summary


def lost(answers: pd.DataFrame, where: "pd.Series[bool]", **values: object) -> pd.DataFrame:
    answers = answers.astype({"coherence": object, "alignment": object, "error": object})
    for column, value in values.items():
        answers.loc[where, column] = value
    return answers


def test_a_run_that_is_missing_leaves_the_others(answers, tmp_path):
    kept = answers[~((answers["method"] == "es") & (answers["domain"] == BAD))]
    summary = written(planted.numbers(kept, DESIGN), tmp_path)
    assert f"llama-1b · {BAD} · es" not in summary.partition("## Training")[0].partition("## Interventions")[0]
    assert "Nothing to match" in summary and "## Between methods" not in summary


def test_a_run_whose_answers_are_all_incoherent(answers, tmp_path):
    of_run = (answers["method"] == "es") & (answers["domain"] == BAD) & (answers["checkpoint"] != "base")
    summary = written(planted.numbers(lost(answers, of_run, coherence=5), DESIGN), tmp_path)
    assert "1 of 4 runs have no counted answer" in summary and "no overlap" in summary
    (missed, levels) = re.findall(r"(\d+) of (\d+) levels are not reached by both", summary)[0]
    assert int(missed) == int(levels) > 0


def test_a_judge_that_failed_altogether(answers, tmp_path):
    summary = written(planted.numbers(lost(answers, answers["judge"] == "people", **FAILED), DESIGN), tmp_path)
    assert "judge people; rates are over coherent answers): no answer could be counted, so there is no rate." in summary
    assert "## How far the judges agree" in summary


@pytest.mark.parametrize("values", [{"coherence": 5}, FAILED], ids=["incoherent", "failed"])
def test_nothing_that_counts(answers, tmp_path, values):
    everywhere = pd.Series(True, index=answers.index)
    summary = written(planted.numbers(lost(answers, everywhere, **values), DESIGN), tmp_path)
    assert summary.count("no answer could be counted, so there is no rate") == 2  # a sentence per judge


def test_no_answer_at_all(answers, tmp_path):
    numbers = planted.numbers(answers, DESIGN)
    counts = [column for column in numbers.rates if column == "n" or column.startswith("n_")]
    none = numbers.rates.assign(**dict.fromkeys(counts, 0), **dict.fromkeys(RATES, float("nan")))
    empty = Numbers(none)
    of_directions = {
        "interventions": numbers.interventions.assign(
            **dict.fromkeys(set(counts) & set(numbers.interventions), 0),
            **dict.fromkeys([*RATES, "tokens_mean"], float("nan")),
        ),
        "directions": numbers.directions.assign(cosine=float("nan"), cosine_halves=float("nan")),
        "logs": numbers.logs.assign(loss=float("nan"), reward_mean=float("nan"), reward_std=float("nan")),
    }
    summary = written(replace(empty, **of_directions), tmp_path)
    assert "no answer could be counted" in summary and "0 of 0 answers" in summary
    assert "## Interventions" in summary and "## Directions" in summary


def test_a_report_of_a_study_without_a_row(answers, tmp_path):
    numbers = Numbers(planted.numbers(answers, DESIGN).rates.head(0))
    assert "There is no rate to report: nothing was counted." in written(numbers, tmp_path)
