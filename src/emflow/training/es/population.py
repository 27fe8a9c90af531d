"""One iteration's population: its batch, its members, and their rewards."""

import os
import random
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import torch

from emflow.config import Es
from emflow.training.es.engine import EsEngine
from emflow.training.es.noise import member_seeds
from emflow.training.es.score import Score
from emflow.training.es.update import signs

__all__ = ["Member", "draw_batch", "draw_members", "evaluate"]


class Member(NamedTuple):
    """A perturbation: sign * sigma * noise(seed)."""

    number: int
    seed: int
    sign: int


class Outcome(NamedTuple):
    """A member's mean reward; NaN where it failed, with the error."""

    reward: float
    error: str | None


def draw_batch(seed: int, iteration: int, size: int, records: int) -> list[int]:
    """Positions of the records that reward this iteration, without repetition."""
    return random.Random(f"batch/{seed}/{iteration}").sample(range(records), min(size, records))


def draw_members(seed: int, iteration: int, method: Es) -> list[Member]:
    """The members of an iteration; mirrored ones share a seed in pairs."""
    each = 2 if method.mirrored else 1
    seeds = member_seeds(seed, iteration, method.population // each)
    return [Member(number, seeds[number // each], sign) for number, sign in enumerate(signs(method).tolist())]


def evaluate(
    engine: EsEngine, score: Score, batch: list[int], members: list[Member], sigma: float
) -> dict[int, Outcome]:
    """Outcome by member number. A member whose answers or rewards fail is a value, not the end of the run.

    A member's reward is computed while the next member answers, unless both would want the same CPU cores. Then it is
    computed by the engine's own thread: a second one would slow the engine down even when it only waits, for OpenMP's
    threads no longer spin between two layers once there are more of them than cores.
    """
    outcomes: dict[int, Outcome | Future[Outcome]] = {}
    together = torch.cuda.is_available() or _spare_cores() > 0

    def rewarded(said: Any) -> Outcome:
        try:
            reward = score.reward(batch, said)
        except Exception as error:
            return _failed(error)
        return Outcome(reward, None if np.isfinite(reward) else f"reward {reward}")

    with ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(1,)) as beside:
        for member in members:
            engine.weights.perturb(member.seed, member.sign * sigma)
            try:
                said = score.ask(batch)
            except Exception as error:
                outcomes[member.number] = _failed(error)
                continue
            outcomes[member.number] = beside.submit(rewarded, said) if together else rewarded(said)
    return {number: found.result() if isinstance(found, Future) else found for number, found in outcomes.items()}


def _spare_cores() -> int:
    """CPU cores that this process may use beyond those that the ranks' engines on this machine use."""
    return len(os.sched_getaffinity(0)) - torch.get_num_threads() * int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def _failed(error: Exception) -> Outcome:
    return Outcome(np.nan, f"{type(error).__name__}: {error}"[:200])
