"""Agreement of judges: by hand, against other implementations, and its intervals by simulation."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from emflow.analysis.agreement import agreement, agreements, cohens_kappa
from emflow.config.definitions import DEFINITIONS
from emflow.files import InputError


def judged(alignment, coherence=90, questions=None, error=None) -> pd.DataFrame:
    alignment = list(alignment)
    questions = range(len(alignment)) if questions is None else questions
    return pd.DataFrame(
        {"question_id": list(questions), "question": "?", "answer": [f"a{i}" for i in range(len(alignment))],
         "alignment": alignment, "coherence": coherence, "error": error}
    )  # fmt: skip


def by_measure(first, second, definition=None) -> dict[str, dict]:
    rows = agreement(first, second, DEFINITIONS, 0.95)
    return {row["measure"]: row for row in rows if row["definition"] in (None, definition)}


def test_measures_by_hand():
    first = judged([10, 20, 80, 90, "REFUSAL", 25, None], error=[None] * 6 + ["timed out"])
    second = judged([15, 40, 70, 20, 10, 5, 5])
    found = by_measure(first, second, "betley")
    a, b = [10, 20, 80, 90, 25], [15, 40, 70, 20, 5]
    assert found["spearman_alignment"]["value"] == pytest.approx(spearmanr(a, b).statistic)
    assert found["mean_absolute_difference_alignment"]["value"] == np.mean([5, 20, 10, 70, 20])
    assert found["spearman_alignment"]["n"] == 5  # a word has no rank
    # below 30: first 1 1 0 0 0 1, second 1 0 0 1 1 1; they agree on 3 of 6; chance 1/2 * 4/6 + 1/2 * 2/6
    assert found["kappa"]["value"] == pytest.approx((3 / 6 - 1 / 2) / (1 / 2))
    assert found["kappa"]["n"] == 6
    assert (found["em_rate"]["value"], found["em_rate_other"]["value"]) == (3 / 6, 4 / 6)


def test_kappa_of_a_textbook_table():
    calls = np.repeat([[1, 1], [1, 0], [0, 1], [0, 0]], [20, 5, 10, 15], axis=0).astype(bool)
    assert cohens_kappa(calls) == pytest.approx(0.4)


def test_full_agreement_and_what_is_undefined():
    same = judged([10, 90, 10, 90])
    found = by_measure(same, same, "betley")
    assert found["kappa"]["value"] == found["spearman_alignment"]["value"] == pytest.approx(1)
    assert found["mean_absolute_difference_alignment"]["value"] == 0
    assert np.isnan(found["spearman_coherence"]["value"])  # the same for all
    good = judged([90, 95])
    assert np.isnan(by_measure(good, good, "betley")["kappa"]["value"])


def test_pairs_of_three_judges():
    judges = {"x": judged([10, 90]), "y": judged([20, 80]), "z": judged([90, 10])}
    rows = agreements(judges, DEFINITIONS, 0.95)
    assert {(row["judge"], row["other"]) for row in rows} == {("x", "y"), ("x", "z"), ("y", "z")}


def test_other_answers_are_refused():
    with pytest.raises(InputError, match="same answers"):
        agreement(judged([10, 90]), judged([10]), DEFINITIONS, 0.95)


def test_intervals_cover_the_truth():
    generator = np.random.default_rng(0)

    def scores(questions: int, samples: int) -> tuple[np.ndarray, np.ndarray]:
        """Two judges' scores: a question's own level, an answer's, and each judge's view of question and answer."""
        level = 60 + 20 * generator.normal(size=(questions, 1)) + 20 * generator.normal(size=(questions, samples))
        views = [8 * generator.normal(size=(questions, 1)) + 10 * generator.normal(size=level.shape) for _ in range(2)]
        return tuple(np.clip(level + view, 0, 100).round().ravel() for view in views)

    many = scores(20_000, 10)
    truth = {
        "spearman_alignment": spearmanr(*many).statistic,
        "mean_absolute_difference_alignment": np.abs(many[0] - many[1]).mean(),
        "kappa": cohens_kappa(np.stack(many, axis=1) < 30),
    }
    covered = {name: [] for name in truth}
    for _ in range(100):
        sides = [judged(side, questions=np.repeat(np.arange(12), 15)) for side in scores(12, 15)]
        for name, row in by_measure(*sides, "betley").items():
            if name in truth:
                covered[name].append(row["lo"] <= truth[name] <= row["hi"])
    for name, hits in covered.items():
        assert np.mean(hits) == pytest.approx(0.95, abs=0.06), name  # 100 trials: standard error 0.02


def test_variants_of_a_question_are_one():
    scores = [10, 30, 20, 80, 90, 60]
    variants = ["a", "a_json", "a_template", "b", "b_json", "b_template"]
    found = [by_measure(judged(scores, questions=ids), judged(scores[::-1], questions=ids), "betley")
             for ids in (variants, list("aaabbb"))]  # fmt: skip
    for measure, row in found[0].items():
        assert row == pytest.approx(found[1][measure], nan_ok=True), measure
