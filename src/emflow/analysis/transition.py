"""Rank-1 runs over training: the path of each adapter, and EM with it scaled."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from emflow.analysis.rates import rate
from emflow.analysis.trajectory import changes, local_cosine, principal_components, turn
from emflow.config.definitions import Definition
from emflow.config.expansion import Run
from emflow.files import read_jsonl, write_sealed
from emflow.formats.rank_one import read_rank_one
from emflow.models.checkpoints import Checkpoint, read_index, unchanged_checkpoints

__all__ = ["PathFiles", "path_of", "write_scaled_rates", "write_trajectories"]


@dataclass(frozen=True)
class PathFiles:
    """What a run has left that tells of its path."""

    index: Path
    log: Path
    judged: Path
    """Answers of all its checkpoints."""
    scaled_index: Path
    scaled: Path
    """Answers of checkpoints with their adapters scaled."""


def write_trajectories(runs: Mapping[Run, PathFiles], window: int, threshold: float, out: Path) -> int:
    """Write `trajectory.csv`, a row per run and checkpoint; returns the number of rows."""
    tables = []
    for run, files in runs.items():
        folders = unchanged_checkpoints(files.index)
        checkpoints = read_index(files.index)
        adapters = [read_rank_one(folders[checkpoint.label]) for checkpoint in checkpoints]
        steps = [checkpoint.step for checkpoint in checkpoints]
        path = path_of(steps, np.stack([x.a for x in adapters]), np.stack([x.b for x in adapters]), window, threshold)
        logged = _logged(pd.DataFrame(read_jsonl(files.log)), steps)
        named = [{**run._asdict(), "checkpoint": c.label, "step": c.step, "epoch": c.epoch} for c in checkpoints]
        tables.append(pd.concat([pd.DataFrame(named), logged, path.drop(columns="step")], axis=1))
    table = pd.concat(tables, ignore_index=True)
    write_sealed(out, table.to_csv(index=False, float_format="%.6g"))
    return len(table)


def path_of(steps: Sequence[int], a: np.ndarray, b: np.ndarray, window: int, threshold: float) -> pd.DataFrame:
    """A row per step of the path of a rank-1 adapter, A (n, in) and B (n, out): lengths of both, how far each has moved
    since the step before, local cosines of both, the first two principal components of B with their shares of its
    variance, and at which step B turns."""
    cosines = [local_cosine(steps, vectors, window, threshold) for vectors in (a, b)]
    coordinates, shares = principal_components(b)
    at = turn(steps, cosines[1])
    return pd.DataFrame(
        {
            "step": list(steps),
            "norm_a": np.linalg.norm(a, axis=1),
            "norm_b": np.linalg.norm(b, axis=1),
            "change_a": changes(a),
            "change_b": changes(b),
            "local_cosine_a": cosines[0],
            "local_cosine_b": cosines[1],
            "pc1": coordinates[:, 0],
            "pc2": coordinates[:, 1],
            "pc1_share": shares[0],
            "pc2_share": shares[1],
            "turn": [step == at for step in steps],
        }
    )


def _logged(log: pd.DataFrame, steps: list[int]) -> pd.DataFrame:
    """Means of what was logged since the checkpoint before."""
    since = pd.cut(log["step"], [0, *steps], labels=False)
    return log.groupby(since)[["loss", "grad_norm"]].mean().reindex(range(len(steps)))


def write_scaled_rates(
    runs: Mapping[Run, PathFiles], definitions: Mapping[str, Definition], confidence: float, out: Path
) -> int:
    """Write `scaled_rates.csv`, a row per run, checkpoint, scale (also 1) and definition; returns how many rows."""
    rows: list[dict[str, Any]] = []
    for run, files in runs.items():
        for index, judged in ((files.index, files.judged), (files.scaled_index, files.scaled)):
            checkpoints = {checkpoint.label: checkpoint for checkpoint in read_index(index)}
            answers = pd.DataFrame(read_jsonl(judged))
            for label, of_one in answers.groupby("checkpoint", sort=False):
                named = {
                    **run._asdict(),
                    **_scale(checkpoints[str(label)]),
                    "question_set": of_one["question_set"].iloc[0],
                }
                for name, definition in definitions.items():
                    rows.append({**named, "definition": name, **rate(of_one, definition, confidence)})
    table = pd.DataFrame(rows).sort_values([*Run._fields, "step", "scale"], kind="stable")
    write_sealed(out, table.to_csv(index=False, float_format="%.6g"))
    return len(table)


def _scale(checkpoint: Checkpoint) -> dict[str, Any]:
    label, _, scale = checkpoint.label.partition("-x")
    return {"checkpoint": label, "step": checkpoint.step, "scale": float(scale or 1)}
