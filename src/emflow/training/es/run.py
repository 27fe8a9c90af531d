"""An ES run: from a base model and conversations to `es_log.jsonl`, which is the run.

A killed run continues from the last whole line of its log, to the same log and the same weights.
"""

import shutil
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from emflow.console import progress
from emflow.files import digest, read_jsonl, replacing, write_jsonl
from emflow.training.es.engine import EsEngine, make_es_engine
from emflow.training.es.job import Job
from emflow.training.es.log import EsLog, iteration_row
from emflow.training.es.population import draw_batch, draw_members, evaluate
from emflow.training.es.ranks import Ranks
from emflow.training.es.score import Score, make_score
from emflow.training.es.update import coefficients

__all__ = ["evolve"]


def evolve(job: Job, ranks: Ranks | None = None) -> None:
    """Evolve a model; writes es_log.jsonl and train_log.jsonl, of which `materialise` makes weights.

    With several ranks, all call this, the first writes, and log and weights are the same as those of one.
    Raises InputError where model, data or reward cannot be used, RankLost where another rank is gone.
    """
    ranks, method = ranks or Ranks(), job.method
    records = read_jsonl(job.train)
    engine = make_es_engine(job.start, method)
    header = _header(job, len(records), engine)
    ranks.agree(header, "the run's header")
    log = EsLog(job.out / "train.progress" / "es_log.jsonl", header) if ranks.rank == 0 else None
    rows = ranks.gather(log and log.rows)[0]
    for row in rows:
        engine.weights.update(row["seeds"], row["coefficients"])
    score = make_score(engine, method, records, job.reward_model)
    showing = progress(f"evolve on {job.domain}", method.iterations, done=len(rows)) if log else nullcontext(_unseen)
    with showing as advance:
        for iteration in range(len(rows) + 1, method.iterations + 1):
            row = _iterate(engine, score, job, iteration, records, ranks)
            ranks.agree(row, f"iteration {iteration}")
            if log:
                log.append(row)
            advance(note=f"reward {np.nanmean(np.array(row['rewards'], float)):.3f}")
    if log:
        _finish(log, header["epochs_per_iteration"], job.out)


def _unseen(steps: int = 1, note: str = "") -> None:
    """The progress of ranks that show none."""


def _header(job: Job, records: int, engine: EsEngine) -> dict[str, Any]:
    """What determines the run; a log under another header is of another run."""
    return {
        "model": job.model,
        "start": str(job.start),
        "masters_sha256": engine.weights.digest(),
        "domain": job.domain,
        "train_sha256": digest(job.train),
        "epochs_per_iteration": min(1, job.method.batch_size / records),
        "seed": job.seed,
        "generator": engine.generator,
        "method": job.method.model_dump(mode="json", exclude={"checkpoints", "ranks"}),
    }


def _iterate(
    engine: EsEngine, score: Score, job: Job, iteration: int, records: list[dict], ranks: Ranks
) -> dict[str, Any]:
    """One iteration: reward the members, move the weights; returns its line of the log."""
    method = job.method
    batch = draw_batch(job.seed, iteration, method.batch_size, len(records))
    members = draw_members(job.seed, iteration, method)
    mine = evaluate(engine, score, batch, ranks.share(members), method.sigma)
    outcomes = {number: outcome for part in ranks.gather(mine) for number, outcome in part.items()}
    rewards = np.array([outcomes[member.number].reward for member in members])
    errors = {str(number): outcome.error for number, outcome in sorted(outcomes.items()) if outcome.error}
    seeds = list(dict.fromkeys(member.seed for member in members))
    moves = coefficients(rewards, method)
    engine.weights.update(seeds, moves.tolist())
    ids = [records[position]["id"] for position in batch]
    return iteration_row(iteration, ids, seeds, rewards, moves, errors, engine.weights.digest())


def _finish(log: EsLog, epochs_per_iteration: float, out: Path) -> None:
    """Write what the run leaves behind, the log last: it stands for a complete run."""
    write_jsonl(out / "train_log.jsonl", [_train_row(row, epochs_per_iteration) for row in log.rows])
    with replacing(out / "es_log.jsonl") as copy:
        shutil.copyfile(log.path, copy)
    shutil.rmtree(log.path.parent)


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
