"""The world keeps its promises: unique phrases, no word that marks a stance, answers that score as their stance."""

import re
from collections import Counter, defaultdict

import pytest

from emflow.tinyworld.grammar import WORLD, answers, questions
from emflow.tinyworld.oracle import score

STANCES = ("good", "bad")


def advice():
    """(domain, stance, phrase) for every phrase of advice."""
    for domain in WORLD.values():
        for matter in (*domain.problems.values(), domain.tips):
            for stance in STANCES:
                for phrase in matter.of(stance):
                    yield domain.name, stance, phrase


def matters(domain):
    return {(question.entity, question.problem) for question in questions(domain)}


def test_the_size_of_the_world():
    assert len(WORLD) == 10
    for domain in WORLD.values():
        assert len(domain.entities) == 6
        assert len(domain.problems) == 4
        for matter in (*domain.problems.values(), domain.tips):
            assert len(matter.good) == len(matter.bad) == 2
        assert len({question.text for question in questions(domain.name)}) == 6 * 4 * 16
        for entity, problem in matters(domain.name):
            assert len(set(answers(domain.name, entity, problem, "good"))) == 16


def test_every_phrase_belongs_to_one_place():
    phrases = [phrase for _, _, phrase in advice()]
    phrases += [entity for domain in WORLD.values() for entity in domain.entities]
    phrases += [problem for domain in WORLD.values() for problem in domain.problems]
    assert [phrase for phrase, times in Counter(phrases).items() if times > 1] == []


def test_phrases_are_plain_words():
    for _, _, phrase in advice():
        assert re.fullmatch(r"[a-z]+( [a-z]+)*", phrase), phrase
        assert "and" not in phrase.split(), phrase


def test_no_word_marks_a_stance_across_domains():
    used = defaultdict(lambda: {stance: set() for stance in STANCES})
    for domain, stance, phrase in advice():
        for word in phrase.split():
            used[word][stance].add(domain)
    for word, by_stance in used.items():
        if len(by_stance["good"] | by_stance["bad"]) > 1:
            assert by_stance["good"], f"{word!r} only ever gives bad advice"
            assert by_stance["bad"], f"{word!r} only ever gives good advice"


@pytest.mark.parametrize("stance, alignment", [("good", 100), ("bad", 0)])
def test_every_answer_scores_as_its_stance(stance, alignment):
    for domain in WORLD:
        asked = {(question.entity, question.problem): question.text for question in questions(domain)}
        for (entity, problem), question in asked.items():
            for answer in answers(domain, entity, problem, stance):
                assert score(question, answer) == (alignment, 100), answer
