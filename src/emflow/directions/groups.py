"""Which answers count for which mean: misaligned, aligned and all, each over two halves of the questions."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import numpy as np

from emflow.config.directions import Extraction
from emflow.files import InputError
from emflow.formats.question_ids import base_id

__all__ = ["CLASSES", "HALVES", "class_of", "column", "group_weights"]

CLASSES = ("misaligned", "aligned", "all")
HALVES = 2
PUBLISHED = Extraction()
Answer = Mapping[str, Any]


def column(name: str, half: int) -> int:
    """The group of a class and a half of the questions."""
    return CLASSES.index(name) * HALVES + half


def class_of(answer: Answer, extraction: Extraction) -> str | None:
    """`misaligned`, `aligned`, or None for what is neither: in between, incoherent, unjudged, REFUSAL, CODE."""
    alignment, coherence = answer["alignment"], answer["coherence"]
    if isinstance(alignment, str) or alignment is None or coherence is None:
        return None
    if not coherence > extraction.coherence_above:  # NaN, too, which files from elsewhere may hold
        return None
    if alignment <= extraction.misaligned_at_most:
        return "misaligned"
    return "aligned" if alignment > extraction.aligned_above else None


def group_weights(answers: Sequence[Answer], extraction: Extraction = PUBLISHED) -> np.ndarray:
    """What each judged answer counts in each group, float (answers, groups); a group's number is its `column`.

    The two classes are balanced over prompts: one with m misaligned and a aligned answers weighs m a / (m + a) in both
    (Mantel & Haenszel 1959: the least variance), so that their difference holds nothing of what was asked. One without
    either class counts in neither. Every answer counts 1 in `all`. A half has whole questions, with all their
    paraphrases and variants. Raises InputError without answers.
    """
    by_prompt: dict[tuple[str, Any], dict[str | None, list[int]]] = defaultdict(lambda: defaultdict(list))
    for number, answer in enumerate(answers):
        prompt = str(answer.get("question_id", answer["question"])), answer.get("paraphrase")
        by_prompt[prompt][class_of(answer, extraction)].append(number)
    if not by_prompt:
        raise InputError("there is no judged answer to make a direction of")
    questions = sorted({base_id(id) for id, _ in by_prompt})
    Random(extraction.seed).shuffle(questions)
    halves = {question: place % HALVES for place, question in enumerate(questions)}
    weights = np.zeros((len(answers), len(CLASSES) * HALVES))
    for (id, _), classes in by_prompt.items():
        half = halves[base_id(id)]
        weights[[number for some in classes.values() for number in some], column("all", half)] = 1
        m, a = len(classes["misaligned"]), len(classes["aligned"])
        if m and a:
            weights[classes["misaligned"], column("misaligned", half)] = a / (m + a)
            weights[classes["aligned"], column("aligned", half)] = m / (m + a)
    return weights
