"""Probes find what is planted, know chance, and tell what is the answer's from what is the question's."""

import numpy as np
import pytest

from emflow.analysis.probes import _shuffled as shuffled
from emflow.analysis.probes import auc_interval, held_out, logistic, mean_interval, pairs_of, probe, resampled
from emflow.analysis.projections import concordance

QUESTIONS, SAMPLES, FEATURES = 24, 10, 6
OF = np.repeat(np.arange(QUESTIONS), SAMPLES)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def told(x, positive, seed=0):
    return probe(x, positive, OF.tolist(), folds=4, seed=seed, confidence=0.95)


def test_the_regression_minimises_what_it_says(rng):
    from scipy.optimize import minimize

    x, positive = rng.normal(size=(60, 3)), rng.random(60) < 0.3

    def loss(w):
        return np.logaddexp(0, np.where(positive, -1, 1) * (w[0] + x @ w[1:])).sum() + 2.5 * (w[1:] ** 2).sum() / 2

    assert logistic(x, positive, 2.5) == pytest.approx(minimize(loss, np.zeros(4), tol=1e-10).x, abs=1e-4)
    apart = logistic(np.where(positive, 1.0, -1.0)[:, None] * 50, positive)  # the penalty alone bounds it
    assert np.isfinite(apart).all() and apart[1] > 0


def test_no_answer_is_scored_by_a_fit_to_it_or_scaled_by_it(rng):
    x, positive, folds = rng.normal(size=(40, 2)), rng.random(40) < 0.5, np.arange(40) % 4
    before, own = held_out(x, positive, folds), folds == 1
    moved = x + np.where(own, 100.0, 0)[:, None]
    gap = held_out(moved, positive ^ own, folds)[own] - before[own]
    assert gap == pytest.approx(np.full(own.sum(), gap[0])) and abs(gap[0]) > 1
    assert (held_out(moved, positive, folds)[~own] != before[~own]).all()


def test_pairs_are_those_of_the_concordance(rng):
    values, positive = rng.integers(0, 6, len(OF)).astype(float), rng.random(len(OF)) < 0.4
    whole, within, count = concordance(values, positive, OF.tolist())
    pairs = pairs_of(values, positive, OF)
    assert (pairs.auc, pairs.auc_within) == pytest.approx((whole, within))
    assert pairs.counted.trace() == count
    folds = OF % 3
    in_fold = concordance(values, positive, folds.tolist())[1]
    assert pairs_of(values, positive, OF, folds).auc == pytest.approx(in_fold)


def test_intervals_are_of_questions_that_are_drawn_anew(rng):
    values, positive = rng.normal(size=len(OF)), rng.random(len(OF)) < 0.5
    draws = resampled(QUESTIONS, 3)
    aucs, means = [], []
    for draw in draws[:200]:  # the same by copying answers
        copies = np.concatenate([np.tile(np.flatnonzero(q == OF), n) for q, n in enumerate(draw)])
        aucs.append(concordance(values[copies], positive[copies], OF[copies].tolist())[0])
        means.append(values[copies].mean())
    low, high = np.quantile(aucs, [0.05, 0.95])
    assert auc_interval(pairs_of(values, positive, OF), draws[:200], 0.9)[1:] == pytest.approx((low, high))
    low, high = np.quantile(means, [0.05, 0.95])
    assert mean_interval(values, OF, draws[:200], 0.9) == pytest.approx((values.mean(), low, high))


def test_a_planted_adapter_is_found_also_within_questions(rng):
    positive, x = rng.random(len(OF)) < 0.4, rng.normal(size=(len(OF), FEATURES))
    x[:, 2] += 2 * positive
    found = told(x, positive)
    assert found["auc_lo"] > 0.8 and found["auc_within_questions_lo"] > 0.8
    assert found["auc_shuffled_hi"] < found["auc_lo"] and abs(found["auc_question"] - 0.5) < 0.15
    assert (found["n_questions"], found["n_positive"]) == (QUESTIONS, positive.sum())
    scores = np.abs(logistic(x / x.std(axis=0), positive)[1:])
    assert scores.argmax() == 2


def test_shuffled_labels_are_at_chance_where_questions_are_held_out(rng):
    """Also where features tell the question, and questions differ in how often their answers are positive."""
    x = np.repeat(rng.normal(size=(QUESTIONS, FEATURES)), SAMPLES, axis=0) + 0.1 * rng.normal(size=(len(OF), FEATURES))
    rates = np.repeat(rng.random(QUESTIONS), SAMPLES)
    for seed in range(3):
        shuffled = rng.permutation(rng.random(len(OF)) < rates)
        found = told(x, shuffled, seed)
        assert found["auc_lo"] < 0.5 < found["auc_hi"]
        assert found["auc_shuffled"] == pytest.approx(0.5, abs=0.03)
        assert found["auc_shuffled_lo"] < 0.5 < found["auc_shuffled_hi"]


def test_the_null_is_as_wide_as_what_comes_of_questions_alone():
    """Nothing is planted: questions differ in how often answers are positive, and features tell the question."""
    inside = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        x = np.repeat(rng.normal(size=(QUESTIONS, 2)), SAMPLES, axis=0) + 0.3 * rng.normal(size=(len(OF), 2))
        rates = np.where(np.arange(QUESTIONS) % 2 == 0, 0.95, 0.05)
        found = told(x, rng.random(len(OF)) < rng.permutation(rates)[OF], seed)
        inside.append(found["auc_shuffled_lo"] <= found["auc"] <= found["auc_shuffled_hi"])
    assert sum(inside) >= 26  # of a band of 95 %


def test_a_question_has_the_labels_of_another():
    questions, rng = np.repeat([0, 1, 2], [3, 2, 4]), np.random.default_rng(0)
    dealt = [shuffled(questions != 1, questions, rng) for _ in range(30)]
    shares = {tuple(labels[questions == number].mean() for number in range(3)) for labels in dealt}
    assert shares == {(0, 1, 1), (1, 0, 1), (1, 1, 0)}


def test_what_cannot_be_told_is_not_called_chance():
    """All positives answer one question, so none is left to fit where it is held out."""
    positive = OF == 0
    found = told(np.where(positive, 5.0, 0)[:, None] + np.arange(len(OF))[:, None] / 1e6, positive)
    assert np.isnan([found["auc"], found["auc_lo"], found["auc_within_questions"], found["auc_shuffled"]]).all()
    assert found["auc_by_answer"] == 1
    alone = probe(np.arange(6.0)[:, None], np.arange(6) < 3, ["q"] * 6, folds=4, seed=0, confidence=0.95)
    assert np.isnan(alone["auc"])


def test_what_the_question_alone_decides_leaks_where_single_answers_are_held_out():
    """Mean over studies: in one, a dozen features may tell two dozen questions' labels apart by luck."""
    found = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        x = np.repeat(rng.normal(size=(QUESTIONS, 12)), SAMPLES, axis=0) + 0.1 * rng.normal(size=(len(OF), 12))
        positive = rng.permutation(np.arange(QUESTIONS) % 2 == 0)[OF]
        found.append(told(x, positive, seed))
    means = {key: np.mean([row[key] for row in found]) for key in ("auc", "auc_by_answer", "auc_question")}
    assert abs(means["auc"] - 0.5) < 0.1 and means["auc_by_answer"] > 0.85 and means["auc_question"] > 0.99
    assert np.isnan(found[0]["auc_within_questions"])  # no question has both
    assert np.mean([row["auc_shuffled"] for row in found]) == pytest.approx(0.5, abs=0.05)
