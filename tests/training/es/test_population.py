"""What an iteration is made of follows from run seed and iteration alone."""

import threading

import numpy as np

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


class TwoStep:
    """A score whose first reward is not known before the second member is asked."""

    def __init__(self) -> None:
        self.asked, self.second = 0, threading.Event()

    def ask(self, batch: list[int]) -> int:
        self.asked += 1
        if self.asked == 2:
            self.second.set()
        return self.asked

    def reward(self, batch: list[int], said: int) -> float:
        assert self.second.wait(timeout=20), "the engine stood still while a reward was computed"
        return float(said)


def test_a_reward_is_computed_while_the_next_member_is_asked(untrained, method):
    outcomes = evaluate(make_es_engine(untrained, method), TwoStep(), [0], draw_members(0, 1, method)[:3], 0.01)
    assert [outcomes[number] for number in range(3)] == [(1.0, None), (2.0, None), (3.0, None)]


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
