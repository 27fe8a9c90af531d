"""Matched checkpoints: the level that all methods reach, and the checkpoint nearest to it."""

from pathlib import Path

import pandas as pd
import pytest
import yaml

from emflow.config import load_config
from emflow.reporting.matched import matched

ROOT = Path(__file__).parents[2]


@pytest.fixture
def config():
    return load_config(yaml.safe_load((ROOT / "config/config.yaml").read_text()))


def rates(inside: dict[str, list[float]], domain: str = "bad_lantern_advice") -> pd.DataFrame:
    """In-domain rates by method and checkpoint; out-of-domain rates are half of them."""
    return pd.DataFrame(
        {"model": "tiny", "domain": domain, "method": method, "seed": 0, "judge": "oracle", "question_set": questions,
         "checkpoint": "base" if step == 0 else f"step-{step}", "em_rate": rate * share}
        for method, rates in inside.items()
        for step, rate in enumerate(rates)
        for questions, share in (("in_domain", 1), ("out_of_domain", 0.5))
    )  # fmt: skip


def test_the_level_is_what_all_reach_and_the_nearest_checkpoint_is_taken(config):
    rows = matched(config, rates({"lora": [0.0, 0.3, 0.65, 0.95], "es": [0.0, 0.2, 0.5, 0.7]}))
    assert set(rows["target"]) == {0.7}
    assert set(zip(rows["method"], rows["checkpoint"], strict=True)) == {("lora", "step-2"), ("es", "step-3")}
    assert sorted(rows["em_rate"]) == pytest.approx([0.325, 0.35, 0.65, 0.7])


def test_the_base_is_no_match(config):
    rows = matched(config, rates({"lora": [0.0, 0.9], "es": [0.0, 0.1]}))
    assert set(rows["checkpoint"]) == {"step-1"}


def test_nothing_to_match_is_empty(config):
    assert matched(config, rates({"lora": [0.0, 0.9]})).empty
    assert matched(config, rates({"lora": [0.0, 0.9], "es": [0.0, 0.1]}, "good_lantern_advice")).empty
