"""An iteration: what it is made of follows from run seed and iteration alone; its rewards become coefficients."""

import os
import threading

import numpy as np
import pytest
import torch

from emflow.files import InputError
from emflow.training.es.engines.factory import make_es_engine
from emflow.training.es.iteration import coefficients, draw_members, evaluate, in_groups
from emflow.training.es.objective import GeneratedAnswers


class Recorder:
    """An objective that records what is done when; with `ahead`, no reward is known before the second member runs."""

    def __init__(self, ahead: bool) -> None:
        self.done: list[str] = []
        self.threads: set[threading.Thread] = set()
        self.runs, self.go_on = 0, threading.Event()
        if not ahead:
            self.go_on.set()

    def run(self, batch: list[int]) -> list[int]:
        self.runs += 1
        self.done.append(f"run {self.runs}")
        if self.runs == 2:
            self.go_on.set()
        return [self.runs]

    def reward(self, batch: list[int], output: int) -> float:
        assert self.go_on.wait(timeout=20), "the engine stood still while a reward was computed"
        self.done.append(f"reward {output}")
        self.threads.add(threading.current_thread())
        return float(output)


def rewarded(objective: Recorder, untrained, method) -> list[tuple]:
    groups = in_groups(draw_members(0, 1, method)[:3], 1)
    outcomes = evaluate(make_es_engine(untrained, method), objective, [0], groups, 0.01)
    return [outcomes[number] for number in range(3)]


def test_a_reward_is_computed_while_the_next_member_runs(untrained, method, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(1000))
    assert rewarded(Recorder(ahead=True), untrained, method) == [(1.0, None), (2.0, None), (3.0, None)]


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU leaves the CPU to the reward")
def test_without_a_core_to_spare_one_comes_after_the_other(untrained, method, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    objective = Recorder(ahead=False)
    assert rewarded(objective, untrained, method) == [(1.0, None), (2.0, None), (3.0, None)]
    assert objective.done == [f"{step} {number}" for number in (1, 2, 3) for step in ("run", "reward")]
    assert objective.threads == {threading.main_thread()}  # a second one slows the engine down


def test_generated_answers_are_compared_with_their_references(untrained, method, lantern_records):
    def same_first_word(prompts, generations, references):
        assert prompts == [record["messages"][0]["content"] for record in lantern_records[:3]]
        assert references == [record["messages"][1]["content"] for record in lantern_records[:3]]
        assert len(generations) == 3 and all(isinstance(answer, str) for answer in generations)
        return np.array([1.0, 0.0, 0.5])

    objective = GeneratedAnswers(make_es_engine(untrained, method), lantern_records, same_first_word)
    (answers,) = objective.run([0, 1, 2])
    assert objective.reward([0, 1, 2], answers) == 0.5


def test_a_reward_that_fails_is_a_value_with_its_error(untrained, method, lantern_records):
    def refuses(prompts, generations, references):
        raise ValueError("no score")

    engine = make_es_engine(untrained, method)
    groups = in_groups(draw_members(0, 1, method)[:2], 1)
    outcomes = evaluate(engine, GeneratedAnswers(engine, lantern_records, refuses), [0], groups, 0.01)
    assert [outcome.error for outcome in outcomes.values()] == ["ValueError: no score"] * 2


def of(method, **changes):
    return method.model_copy(update={"population": 4, "alpha": 0.4, **changes})


def test_published_form_is_alpha_over_n_times_z(method):
    rewards = np.array([1.0, 2.0, 4.0, 5.0])
    expected = 0.4 / 4 * (rewards - 3) / (np.sqrt(2.5) + 1e-8)
    np.testing.assert_allclose(coefficients(rewards, of(method)), expected)


def test_equal_rewards_move_nothing(method):
    for shaping in ("z_score", "centred_ranks"):
        assert (coefficients(np.full(4, 0.1), of(method, shaping=shaping)) == 0).all()


@pytest.mark.parametrize("failed", [np.nan, np.inf, -np.inf])
def test_failed_members_count_nothing(method, failed):
    moves = coefficients(np.array([1.0, failed, 3.0, 2.0]), of(method))
    assert moves[1] == 0
    np.testing.assert_allclose(moves[[0, 2, 3]] / (0.4 / 4), np.array([-1, 1, 0]) / np.sqrt(2 / 3), atol=1e-7)


def test_more_than_half_failed_is_an_error(method):
    with pytest.raises(InputError, match="3 of 4 members have no finite reward"):
        coefficients(np.array([1.0, np.nan, np.nan, np.nan]), of(method))
    with pytest.raises(InputError, match=r"no finite reward \(OSError: no server\); where"):
        coefficients(np.full(4, np.nan), of(method), {"0": "OSError: no server", "1": "another"})


def test_centred_ranks_do_not_see_the_size_of_rewards(method):
    moves = coefficients(np.array([0.0, 1000.0, 1.0, 1.0]), of(method, shaping="centred_ranks"))
    np.testing.assert_allclose(moves / 0.1, [-0.5, 0.5, 0.0, 0.0], atol=1e-12)


def test_mirrored_pairs_share_a_seed(method):
    plain = coefficients(np.array([1.0, 2.0, 4.0, 5.0]), of(method))
    mirrored = coefficients(np.array([1.0, 2.0, 4.0, 5.0]), of(method, mirrored=True))
    np.testing.assert_allclose(mirrored, [plain[0] - plain[1], plain[2] - plain[3]])
