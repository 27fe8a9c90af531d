"""From checkpoints, logs and judged answers of rank-1 runs to trajectory.csv and scaled_rates.csv."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from emflow.analysis.transition import PathFiles, path_of, write_scaled_rates, write_trajectories
from emflow.config.definitions import DEFINITIONS
from emflow.config.expansion import Run
from emflow.files import InputError, digest, write_jsonl
from emflow.formats.rank_one import read_series
from emflow.models.checkpoints import Checkpoint, write_index
from emflow.paths import RunFolder

STEPS = list(range(5, 55, 5))
TURN = 25


def planted(folder: Path, turn: int | None) -> RunFolder:
    """Checkpoints whose B goes straight on, and from a step on at a right angle."""
    run, b, made = RunFolder(folder), np.zeros(8), []
    for step in STEPS:
        b = b + np.eye(8)[int(turn is not None and step > turn)]
        path = run.checkpoints / f"step-{step}"
        path.mkdir(parents=True)
        a = np.full(4, 0.5 + step / 100)
        parts = {"lora_A": torch.tensor(a[None]).float(), "lora_B": torch.tensor(b[:, None]).float()}
        tensors = {f"layers.0.mlp.down_proj.{name}.weight": x for name, x in parts.items()}
        save_file(tensors, path / "adapter_model.safetensors")
        made.append(Checkpoint(path.name, step, step / 50, f"checkpoints/{path.name}", digest(path)))
    write_index(run.index, made)
    log = [{"step": n, "epoch": n / 50, "loss": 2 - n / 50, "grad_norm": float(n), "lr": 0.1} for n in range(1, 51)]
    write_jsonl(run.train_log, log)
    write_index(run.scaled.index, [Checkpoint("step-25-x5", 25, 0.5, "checkpoints/step-25-x5", "0")])
    for judged, labels, bad in ((run, [f"step-{n}" for n in STEPS], 1), (run.scaled, ["step-25-x5"], 3)):
        rows = [
            {"checkpoint": label, "question_set": "q", "question_id": f"q{n}", "paraphrase": 0, "sample": 0,
             "alignment": 0 if n < bad else 100, "coherence": 100, "error": None}
            for label in labels for n in range(4)
        ]  # fmt: skip
        write_jsonl(judged.answerer.judgements("q", "oracle"), rows)
    return run


def files(run: RunFolder) -> PathFiles:
    own, scaled = (part.answerer.judgements("q", "oracle") for part in (run, run.scaled))
    return PathFiles(run.index, run.train_log, own, run.scaled.index, scaled)


@pytest.fixture
def runs(tmp_path) -> dict[Run, PathFiles]:
    turns = {"turns": TURN, "straight": None}
    return {Run("tiny", "bad", name, 0): files(planted(tmp_path / name, turn)) for name, turn in turns.items()}


def test_a_row_per_checkpoint_says_how_it_moved_and_where_it_turned(runs, tmp_path):
    assert write_trajectories(runs, 10, 0.0035, tmp_path / "trajectory.csv") == 2 * len(STEPS)
    table = pd.read_csv(tmp_path / "trajectory.csv")
    turns, straight = (table[table["method"] == name].set_index("step") for name in ("turns", "straight"))
    assert list(turns.index[turns["turn"]]) == [TURN] and not straight["turn"].any()
    assert turns["local_cosine_b"][TURN] == pytest.approx(0, abs=1e-6) and turns["local_cosine_b"].loc[45:].isna().all()
    assert straight["norm_b"][50] == 10 and turns["norm_b"][50] == pytest.approx(np.hypot(5, 5), rel=1e-5)
    assert np.isnan(turns["change_b"][5]) and (turns["change_b"].loc[10:] == 1).all() and len(turns.loc[45:]) == 2
    assert turns["norm_a"][10] == pytest.approx(2 * 0.6)
    # the log's means since the checkpoint before: steps 6 to 10
    assert turns["grad_norm"][10] == 8 and turns["loss"][10] == pytest.approx(2 - 8 / 50)
    assert straight["pc1_share"][5] == pytest.approx(1) and turns["pc1_share"][5] + turns["pc2_share"][5] == 1
    assert list(turns["checkpoint"]) == [f"step-{step}" for step in STEPS]


def test_rates_stand_by_scale_and_one_is_the_checkpoint_as_it_is(runs, tmp_path):
    assert write_scaled_rates(runs, {"betley": DEFINITIONS["betley"]}, 0.95, tmp_path / "r.csv") == 2 * (len(STEPS) + 1)
    table = pd.read_csv(tmp_path / "r.csv")
    assert list(table.columns[:7]) == ["model", "domain", "method", "seed", "checkpoint", "step", "scale"]
    at = table[(table["method"] == "turns") & (table["step"] == 25)].set_index("scale")
    assert dict(at["em_rate"]) == {1: 0.25, 5: 0.75} and set(at["checkpoint"]) == {"step-25"}
    assert set(table["scale"]) == {1, 5} and (table["n"] == 4).all()


def test_a_series_of_others_needs_no_workflow(runs, tmp_path):
    steps, a, b = read_series(tmp_path / "turns/checkpoints")
    path = path_of(steps, a, b, window=10, threshold=0.0035)
    assert list(path.loc[path["turn"], "step"]) == [TURN]


def test_a_checkpoint_that_was_changed_is_refused(runs, tmp_path):
    (tmp_path / "turns/checkpoints/step-25/adapter_model.safetensors").write_bytes(b"")
    with pytest.raises(InputError, match="was changed after it was made"):
        write_trajectories(runs, 10, 0.0035, tmp_path / "trajectory.csv")


def test_each_matrix_has_its_own_way():
    draw = np.random.default_rng(0)
    a, b = draw.normal(size=(5, 7)), draw.normal(size=(5, 3))
    path = path_of([2, 4, 6, 8, 10], a, b, 2, 0.0)
    for name, vectors in (("a", a), ("b", b)):
        assert path[f"norm_{name}"].to_numpy() == pytest.approx(np.sqrt((vectors**2).sum(axis=1)))
        moved = np.sqrt((np.diff(vectors, axis=0) ** 2).sum(axis=1))
        assert path[f"change_{name}"].to_numpy()[1:] == pytest.approx(moved) and np.isnan(path[f"change_{name}"][0])
        before, after = vectors[1:-1] - vectors[:-2], vectors[1:-1] - vectors[2:]
        cosines = (before * after).sum(axis=1) / np.linalg.norm(before, axis=1) / np.linalg.norm(after, axis=1)
        assert path[f"local_cosine_{name}"].to_numpy()[1:-1] == pytest.approx(cosines)
