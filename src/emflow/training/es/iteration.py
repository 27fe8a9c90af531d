"""One iteration of evolution strategies, from its batch to its line in the log.

Members are perturbed models (`emflow.training.es.weights`) that an engine lets answer or score
(`emflow.training.es.engines`); their rewards become the coefficients of the update (Qiu et al., arXiv 2509.24372,
algorithm 1).
"""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata

from emflow.config.es import Es
from emflow.files import InputError
from emflow.training.es.engines.es_engine import EsEngine
from emflow.training.es.job import Job
from emflow.training.es.log import Iteration, iteration_row
from emflow.training.es.noise import member_seeds
from emflow.training.es.objective import Objective
from emflow.training.es.ranks import Ranks
from emflow.training.es.schedule import draw_batch
from emflow.training.processes import RankLost

__all__ = ["Member", "Outcome", "coefficients", "draw_members", "evaluate", "in_groups", "iterate", "signs"]


class Member(NamedTuple):
    """A perturbation: sign * sigma * noise(seed)."""

    number: int
    seed: int
    sign: int


class Outcome(NamedTuple):
    """A member's mean reward; None where it failed, with the error."""

    reward: float | None
    error: str | None


def iterate(
    engine: EsEngine, objective: Objective, job: Job, iteration: int, records: list[dict[str, Any]], ranks: Ranks
) -> Iteration:
    """Reward the members, move the weights; returns the iteration's line of the log, the same on every rank."""
    method = job.method
    batch = draw_batch(method, job.seed, iteration, len(records))
    members = draw_members(job.seed, iteration, method)
    mine = evaluate(engine, objective, batch, ranks.share(in_groups(members, method.together)), method.sigma)
    parts = ranks.gather(mine, dict[int, Outcome])
    outcomes = {number: outcome for part in parts for number, outcome in part.items()}
    if sorted(outcomes) != [member.number for member in members]:
        raise RankLost(f"iteration {iteration}: ranks rewarded other members than there are")
    rewards = np.array([outcomes[member.number].reward for member in members], float)  # NaN for None
    errors = {str(number): outcome.error for number, outcome in sorted(outcomes.items()) if outcome.error}
    seeds = list(dict.fromkeys(member.seed for member in members))
    moves = coefficients(rewards, method, errors)
    engine.weights.update(seeds, moves.tolist())
    ids = [records[position]["id"] for position in batch]
    return iteration_row(iteration, ids, seeds, rewards, moves, errors, engine.weights.digest())


def draw_members(seed: int, iteration: int, method: Es) -> list[Member]:
    """The members of an iteration; mirrored ones share a seed in pairs."""
    each = 2 if method.mirrored else 1
    seeds = member_seeds(seed, iteration, method.population // each)
    return [Member(number, seeds[number // each], sign) for number, sign in enumerate(signs(method).tolist())]


def in_groups(members: Sequence[Member], size: int) -> list[Sequence[Member]]:
    """Members that are in place at once: the same groups for any number of ranks, and so the same rounding."""
    return [members[start : start + size] for start in range(0, len(members), size)]


def evaluate(
    engine: EsEngine, objective: Objective, batch: list[int], groups: Sequence[Sequence[Member]], sigma: float
) -> dict[int, Outcome]:
    """Outcome by member number. A member whose answers or rewards fail is a value, not the end of the run.

    Rewards are computed while the next group of members answers, unless both would want the same CPU cores. Then it is
    computed by the engine's own thread: a second one would slow the engine down even when it only waits, for OpenMP's
    threads no longer spin between two layers once there are more of them than cores.
    """
    outcomes: dict[int, Outcome | Future[Outcome]] = {}
    together = torch.cuda.is_available() or _spare_cores() > 0

    def rewarded(output: Any) -> Outcome:
        try:
            reward = objective.reward(batch, output)
        except Exception as error:
            return _failed(error)
        return Outcome(reward, None) if np.isfinite(reward) else Outcome(None, f"reward {reward}")

    with ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(1,)) as beside:
        for group in groups:
            engine.weights.perturb([(member.seed, member.sign * sigma) for member in group])
            try:
                outputs = objective.run(batch)
            except Exception as error:
                outcomes.update({member.number: _failed(error) for member in group})
                continue
            for member, output in zip(group, outputs, strict=True):
                outcomes[member.number] = beside.submit(rewarded, output) if together else rewarded(output)
    return {number: found.result() if isinstance(found, Future) else found for number, found in outcomes.items()}


def _spare_cores() -> int:
    """CPU cores that this process may use beyond those that the ranks' engines on this machine use."""
    return len(os.sched_getaffinity(0)) - int(torch.get_num_threads()) * int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def _failed(error: Exception) -> Outcome:
    return Outcome(None, f"{type(error).__name__}: {error}"[:200])


def signs(method: Es) -> NDArray[np.int_]:
    """Sign of each member's noise, shape (population,); mirrored members 2k and 2k + 1 share a seed."""
    return np.tile([1, -1], method.population // 2) if method.mirrored else np.ones(method.population, int)


def coefficients(
    rewards: NDArray[np.float64], method: Es, errors: Mapping[str, str] = MappingProxyType({})
) -> NDArray[np.float64]:
    """What each seed's noise is multiplied with in the update; float64, shape (seeds,).

    `rewards` has shape (population,); a member without a finite reward has failed and counts nothing. Equal rewards
    move nothing. Raises InputError with the first of `errors` where more than half of the members have failed.
    """
    finite = np.isfinite(rewards)
    if 2 * finite.sum() < len(rewards):
        why = next(iter(errors.values()), "no error")
        raise InputError(
            f"{len(rewards) - finite.sum()} of {len(rewards)} members have no finite reward ({why}); "
            "where they are no numbers, a smaller sigma, or dtype float32, may help"
        )
    shaped = np.zeros(len(rewards))
    shaped[finite] = _shape(rewards[finite], method.shaping)
    moves: NDArray[np.float64] = method.alpha / method.population * signs(method) * shaped
    return moves.reshape(-1, 2).sum(axis=1) if method.mirrored else moves


def _shape(rewards: NDArray[np.float64], shaping: str) -> NDArray[np.float64]:
    if np.ptp(rewards) == 0:
        return np.zeros(len(rewards))
    if shaping == "centred_ranks":  # Salimans et al., arXiv 1703.03864; equal rewards share their mean rank
        return np.asarray((rankdata(rewards) - 1) / (len(rewards) - 1) - 0.5)
    return np.asarray((rewards - rewards.mean()) / (rewards.std() + 1e-8))
