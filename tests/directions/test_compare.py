"""How alike directions are: against numpy, on moments written by hand."""

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from emflow.config.expansion import Run
from emflow.directions.compare import compare_directions
from emflow.directions.groups import CLASSES, HALVES, column

WIDTH = 5
SITES = ("block.0", "mlp.0")
LORA, ES = Run("tiny", "bad", "lora", 0), Run("tiny", "bad", "es", 0)
GOOD, LARGE = Run("tiny", "good", "lora", 0), Run("large", "bad", "lora", 0)


def means(seed: int, path, weight: dict[str, float]) -> dict[tuple[str, str], np.ndarray]:
    """Write moments of random means, (groups, width), by reading and site."""
    draw = np.random.default_rng(seed)
    groups = len(CLASSES) * HALVES
    found, tensors = {}, {}
    weights = torch.tensor([weight[name] for name in CLASSES for _ in range(HALVES)], dtype=torch.float64)
    for reading in ("tuned", "base_reading", "base"):
        for site in SITES:
            found[reading, site] = draw.normal(size=(groups, WIDTH))
            total = torch.from_numpy(found[reading, site]) * weights[:, None]
            parts = {"total": total, "square": total**2, "length": weights.clone(), "weight": weights.clone()}
            tensors |= {f"{reading}/{site}/{part}": tensor for part, tensor in parts.items()}
    save_file(tensors, path)
    return found


def cos(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compared")
    every, files, by_run = {"misaligned": 2.0, "aligned": 2.0, "all": 9.0}, [], {}
    for number, run in enumerate((LORA, ES, GOOD, LARGE)):
        files.append(folder / f"{number}.safetensors")
        by_run[run] = means(number, files[-1], every if run != GOOD else every | {"misaligned": 0.0, "aligned": 0.0})
    count = compare_directions([LORA, ES, GOOD, LARGE], files, folder / "directions.csv")
    table = pd.read_csv(folder / "directions.csv")
    assert count == len(table)
    return table, by_run


def test_runs_of_one_model_are_compared_where_both_have_a_direction(compared):
    table, _ = compared
    pairs = table.groupby("direction")[["method", "domain", "other_method", "other_domain"]].apply(
        lambda part: set(part.itertuples(index=False, name=None))
    )
    both, good = ("lora", "bad", "es", "bad"), {("lora", "bad", "lora", "good"), ("es", "bad", "lora", "good")}
    assert pairs["contrast"] == {both}  # good advice is never misaligned
    assert pairs["shift"] == {both} | good
    assert set(table["model"]) == {"tiny"} and set(table["site"]) == set(SITES) and set(table["layer"]) == {0}


def test_cosines_are_those_of_numpy(compared):
    table, by_run = compared
    row = table[(table["direction"] == "contrast") & (table["site"] == "mlp.0")].iloc[0]

    def contrast(run: Run, reading: str, *halves: int) -> np.ndarray:
        x = by_run[run][reading, "mlp.0"]
        bad, good = (x[[column(name, half) for half in halves]].mean(axis=0) for name in ("misaligned", "aligned"))
        return bad - good

    assert row["cosine"] == pytest.approx(cos(contrast(LORA, "tuned", 0, 1), contrast(ES, "tuned", 0, 1)), abs=1e-5)
    reading = cos(contrast(LORA, "base_reading", 0, 1), contrast(ES, "base_reading", 0, 1))
    assert row["cosine_base_reading"] == pytest.approx(reading, abs=1e-5)
    crossed = [cos(contrast(LORA, "tuned", half), contrast(ES, "tuned", 1 - half)) for half in (0, 1)]
    assert row["cosine_halves"] == pytest.approx(np.mean(crossed), abs=1e-5)
    own = [cos(contrast(run, "tuned", 0), contrast(run, "tuned", 1)) for run in (LORA, ES)]
    expected = np.sqrt(np.prod(own)) if min(own) > 0 else np.nan
    assert row["reliability"] == pytest.approx(expected, abs=1e-5, nan_ok=True)


def test_one_direction_told_badly_by_both_is_as_alike_as_its_reliability(tmp_path):
    """The cosine of different questions reaches reliability, which the plain cosine hides."""
    draw = np.random.default_rng(0)
    width, truth = 400, np.random.default_rng(1).normal(size=400)
    files = []
    for run in range(2):
        total = draw.normal(size=(len(CLASSES) * HALVES, width))
        for half in range(HALVES):
            total[column("all", half)] += truth
        parts = {"total": total, "square": total**2, "length": np.ones(6), "weight": np.ones(6)}
        readings = {name: parts for name in ("tuned", "base_reading")} | {
            "base": {**parts, "total": np.zeros_like(total)}
        }
        tensors = {f"{name}/block.0/{part}": torch.tensor(x) for name, of in readings.items() for part, x in of.items()}
        files.append(tmp_path / f"{run}.safetensors")
        save_file(tensors, files[-1])
    compare_directions([LORA, ES], files, tmp_path / "directions.csv")
    row = pd.read_csv(tmp_path / "directions.csv").query("direction == 'shift'").iloc[0]
    assert row["cosine_halves"] == pytest.approx(row["reliability"], abs=0.1) and 0.3 < row["reliability"] < 0.7
    assert row["cosine"] > row["reliability"]
