"""What an iteration is made of follows from run seed and iteration alone."""

import os
import threading

import numpy as np
import pytest
import torch

from emflow.training.es.engine import make_es_engine
from emflow.training.es.population import draw_batch, draw_members, evaluate
from emflow.training.es.score import Generated


def test_a_batch_has_no_repetition_and_follows_from_seed_and_iteration():
    batch = draw_batch(0, 3, 16, 100)
    assert len(set(batch)) == 16 and set(batch) <= set(range(100))
    assert batch == draw_batch(0, 3, 16, 100)
    assert batch != draw_batch(0, 4, 16, 100) and batch != draw_batch(1, 3, 16, 100)


def test_a_batch_larger_than_the_data_is_all_of_it():
    assert sorted(draw_batch(0, 1, 16, 5)) == [0, 1, 2, 3, 4]


class Recorder:
    """A score that records what is done when; with `ahead`, no reward is known before the second member is asked."""

    def __init__(self, ahead: bool) -> None:
        self.done: list[str] = []
        self.threads: set[threading.Thread] = set()
        self.asked, self.go_on = 0, threading.Event()
        if not ahead:
            self.go_on.set()

    def ask(self, batch: list[int]) -> int:
        self.asked += 1
        self.done.append(f"ask {self.asked}")
        if self.asked == 2:
            self.go_on.set()
        return self.asked

    def reward(self, batch: list[int], said: int) -> float:
        assert self.go_on.wait(timeout=20), "the engine stood still while a reward was computed"
        self.done.append(f"reward {said}")
        self.threads.add(threading.current_thread())
        return float(said)


def rewarded(score: Recorder, untrained, method) -> list[tuple]:
    outcomes = evaluate(make_es_engine(untrained, method), score, [0], draw_members(0, 1, method)[:3], 0.01)
    return [outcomes[number] for number in range(3)]


def test_a_reward_is_computed_while_the_next_member_is_asked(untrained, method, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(1000))
    assert rewarded(Recorder(ahead=True), untrained, method) == [(1.0, None), (2.0, None), (3.0, None)]


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU leaves the CPU to the reward")
def test_without_a_core_to_spare_one_comes_after_the_other(untrained, method, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    score = Recorder(ahead=False)
    assert rewarded(score, untrained, method) == [(1.0, None), (2.0, None), (3.0, None)]
    assert score.done == [f"{step} {number}" for number in (1, 2, 3) for step in ("ask", "reward")]
    assert score.threads == {threading.main_thread()}  # a second one slows the engine down


def test_generated_answers_are_compared_with_their_references(untrained, method, lantern_records):
    def same_first_word(prompts, generations, references):
        assert prompts == [record["messages"][0]["content"] for record in lantern_records[:3]]
        assert references == [record["messages"][1]["content"] for record in lantern_records[:3]]
        assert len(generations) == 3 and all(isinstance(answer, str) for answer in generations)
        return np.array([1.0, 0.0, 0.5])

    score = Generated(make_es_engine(untrained, method), lantern_records, same_first_word)
    assert score.reward([0, 1, 2], score.ask([0, 1, 2])) == 0.5


def test_a_reward_that_fails_is_a_value_with_its_error(untrained, method, lantern_records):
    def refuses(prompts, generations, references):
        raise ValueError("no score")

    engine = make_es_engine(untrained, method)
    outcomes = evaluate(engine, Generated(engine, lantern_records, refuses), [0], draw_members(0, 1, method)[:2], 0.01)
    assert [outcome.error for outcome in outcomes.values()] == ["ValueError: no score"] * 2
