"""An ES run: from a base model and conversations to `es_log.jsonl`, which is the run.

A killed run continues from the last whole line of its log, to the same log and the same weights.
"""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from emflow.console import note, progress
from emflow.files import InputError, digest, read_jsonl, remove, stamp, write_jsonl
from emflow.models.proof import fixed_texts
from emflow.paths import RunFolder
from emflow.progress_file import ProgressFile
from emflow.training.es.engines.es_engine import EsEngine
from emflow.training.es.engines.factory import make_es_engine
from emflow.training.es.iteration import iterate
from emflow.training.es.job import Job
from emflow.training.es.log import Iteration
from emflow.training.es.objective import make_objective
from emflow.training.es.ranks import Ranks
from emflow.training.es.schedule import epochs_per_update, updates

__all__ = ["evolve"]

UNMOVED = (
    "in no iteration did one member earn more than another, so nothing moved; another sigma (`emflow probe` shows what "
    "members answer), or another reward, may help"
)


def evolve(job: Job, ranks: Ranks | None = None) -> None:
    """Evolve a model; writes es_log.jsonl and train_log.jsonl, of which `materialise` makes weights.

    With several ranks, all call this, the first writes, and log and weights are the same as those of one.
    Raises InputError where model, data or reward cannot be used, RankLost where another rank is gone.
    """
    ranks, method = ranks or Ranks(), job.method
    records = read_jsonl(job.train)
    engine = make_es_engine(job.start, method, job.chat_template_kwargs)
    header = _header(job, records, engine)
    ranks.agree(header, "the run's header")
    with ExitStack() as stack:
        asked = {"reward_model": stamp(job.reward_model)} if job.reward_model else {}
        key = header | asked | ({"code": job.code} if job.code else {})
        log = stack.enter_context(ProgressFile(_progress(job), key)) if ranks.rank == 0 else None
        rows = ranks.gather(list(log.rows) if log else [], list[Iteration])[0]
        _replay(engine, rows, log)
        objective = make_objective(engine, method, records, job.reward_model)
        total = updates(method, len(records))
        shown = progress(f"evolve on {job.domain}", total, done=len(rows))
        advance = stack.enter_context(shown) if log else _unseen
        for iteration in range(len(rows) + 1, total + 1):
            row = iterate(engine, objective, job, iteration, records, ranks)
            ranks.agree(row, f"iteration {iteration}")
            if log:
                log.add([row])
            advance(note=f"reward {np.nanmean(np.array(row['rewards'], float)):.3f}")
        if log:
            _finish(header, log.rows, job.out)
            if not any(any(row["coefficients"]) for row in log.rows):
                note(f"{job.domain}: {UNMOVED}")


def _replay(engine: EsEngine, rows: list[Iteration], log: ProgressFile | None) -> None:
    """Move the weights to where a killed start had come. Raises InputError where they are others than its own."""
    for row in rows:
        engine.weights.update(row["seeds"], row["coefficients"])
    if rows and engine.weights.digest() != rows[-1]["masters_sha256"]:
        if log:
            log.delete()
        raise InputError("a killed start's iterations give other weights here: they are thrown away; start again")


def _progress(job: Job) -> Path:
    """The log while the run is at work."""
    folder = RunFolder(job.out)
    return folder.progress / folder.es_log.name


def _unseen(steps: int = 1, note: str = "") -> None:
    """The progress of ranks that show none."""


def _header(job: Job, records: list[dict[str, Any]], engine: EsEngine) -> dict[str, Any]:
    """What determines the run; a log under another header is of another run."""
    return {
        "model": job.model,
        "start": str(job.start),
        "masters_sha256": engine.weights.digest(),
        "domain": job.domain,
        "train_sha256": digest(job.train),
        "records": len(records),
        "epochs_per_iteration": epochs_per_update(job.method, len(records)),
        "seed": job.seed,
        "generator": engine.generator,
        "method": job.method.identity("checkpoints"),
        "chat_template_kwargs": job.chat_template_kwargs,
        "proof_texts": fixed_texts(engine.tokenizer, records),
    }


def _finish(header: dict[str, Any], rows: list[dict[str, Any]], out: Path) -> None:
    """Write what the run leaves behind, the log last: it stands for a complete run."""
    folder = RunFolder(out)
    write_jsonl(folder.train_log, [_train_row(row, header["epochs_per_iteration"]) for row in rows])
    write_jsonl(folder.es_log, [header, *rows])
    remove(folder.progress)


def _train_row(row: dict[str, Any], epochs_per_iteration: float) -> dict[str, Any]:
    rewards = np.array([reward for reward in row["rewards"] if reward is not None])
    return {
        "iteration": row["iteration"],
        "epoch": round(row["iteration"] * epochs_per_iteration, 4),
        "reward_mean": rewards.mean(),
        "reward_std": rewards.std(),
        "reward_max": rewards.max(),
        "failed": len(row["rewards"]) - len(rewards),
    }
