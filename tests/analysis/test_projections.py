"""Projections tell misaligned answers apart by chance, by the question, or truly; and these differ."""

from itertools import product
from math import isnan
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from emflow.analysis.projections import concordance, write_projections
from emflow.config.definitions import DEFINITIONS
from emflow.config.directions import Extraction
from emflow.files import write_sealed


def test_it_is_the_share_of_pairs_in_the_right_order():
    rng = np.random.default_rng(0)
    values, bad = rng.integers(0, 5, 40).astype(float), rng.random(40) < 0.4
    questions = [f"q{n % 7}" for n in range(40)]

    def by_hand(same: bool) -> tuple[float, int]:
        pairs = [
            (values[i] > values[j]) + (values[i] == values[j]) / 2
            for i, j in product(range(40), repeat=2)
            if bad[i] and not bad[j] and (not same or questions[i] == questions[j])
        ]
        return sum(pairs) / len(pairs), len(pairs)

    whole, within, count = concordance(values, bad, questions)
    assert whole == pytest.approx(by_hand(False)[0]) and (within, count) == pytest.approx(by_hand(True))


def test_what_follows_the_question_alone_tells_nothing_within_one():
    questions = [f"q{n // 10}" for n in range(100)]
    place = np.arange(100) // 10
    bad = np.random.default_rng(1).random(100) < place / 10
    whole, within, count = concordance(place.astype(float), bad, questions)
    assert whole > 0.75 and within == 0.5 and count > 0


def test_without_pairs_there_is_nothing_to_tell():
    whole, within, count = concordance(np.arange(3.0), np.array([True] * 3), ["a", "a", "b"])
    assert isnan(whole) and isnan(within) and count == 0


def projected(path: Path) -> Path:
    """Of two checkpoints; the later one's misaligned answers lie further along."""
    who = {"model": "tiny", "domain": "bad", "method": "lora", "seed": 0, "question_set": "q", "paraphrase": 0}
    rows = []
    for label, bad, shift in (("epoch-0.5", 1, 0.1), ("epoch-1", 3, 0.5)):
        for number, layer in product(range(8), (0, 1)):
            score = 0 if number < bad else "REFUSAL" if number == 7 else 100
            rows.append(
                {**who, "checkpoint": label, "question_id": f"q{number % 2}", "sample": number, "alignment": score,
                 "coherence": None if number == 6 else 90, "error": "no reply" if number == 6 else None,
                 "direction": "shift", "site": f"block.{layer}", "layer": layer, "prompt": shift, "prompt_base": 0.1,
                 "answer": -number, "answer_base": 0.0}
            )  # fmt: skip
    write_sealed(path, pd.DataFrame(rows).to_csv(index=False))
    return path


def test_a_row_per_checkpoint_direction_and_layer(tmp_path):
    file, out = projected(tmp_path / "run.csv"), tmp_path / "out.csv"
    assert write_projections([file], Extraction(), DEFINITIONS["betley"], 0.95, out) == 4
    table = pd.read_csv(out)
    assert list(table["checkpoint"]) == ["epoch-0.5"] * 2 + ["epoch-1"] * 2 and list(table["layer"]) == [0, 1] * 2
    last = table.iloc[-1]
    # of eight answers one is unjudged, one a refusal
    assert (last["n_misaligned"], last["n_aligned"], last["pairs_within_questions"]) == (3, 3, 4)
    assert (
        last["auc"] == 1
        and last["auc_base_reading"] == 0.5
        and last["shift"] == pytest.approx(0.4)
        and last["coherent_share"] == 1
    )
    assert list(table["em_rate"]) == pytest.approx([1 / 7] * 2 + [3 / 7] * 2, rel=1e-5)
