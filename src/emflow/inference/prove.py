"""Before a checkpoint answers: the engine sees what its trainer saw, or nothing is answered."""

import json
import math
from itertools import chain
from pathlib import Path
from typing import TypeAlias

from emflow.console import note
from emflow.files import InputError
from emflow.inference.engine import Engine
from emflow.models.proof import Proof, read_proof

__all__ = ["TOLERANCE", "ProvenEngine"]

LogProbs: TypeAlias = list[list[float]]  # of texts, by token

TOLERANCE = {"float32": 0.002, "float16": 0.02, "bfloat16": 0.1, "4-bit": 0.5}
"""By the coarser of the precisions in training and in the engine: how far a token's log-probability may be off, in nats
and in the mean. Rounding alone is well below, training well above."""


class ProvenEngine:
    """Puts checkpoints into an engine, and checks that they are in place."""

    def __init__(self, engine: Engine, kind: str, dtype: str) -> None:
        self.engine, self.kind, self.dtype = engine, kind, dtype
        self.of_base: dict[str, LogProbs] = {}  # log-probabilities by the base model, by texts

    def use(self, checkpoint: Path | None) -> None:
        """Answer with this checkpoint from now on; None is the base model, whose folder alone an engine begins with.

        Raises InputError where the engine does not see what the checkpoint's trainer saw.
        """
        if checkpoint is None:
            self.engine.use(None)
            return
        proof = read_proof(checkpoint)
        key = json.dumps(proof.texts)
        if key not in self.of_base:
            self.engine.use(None)
            self.of_base[key] = self.engine.logprobs(proof.texts)
        self.engine.use(checkpoint)
        self._check(checkpoint, proof, self.engine.logprobs(proof.texts), self.of_base[key])

    def _check(self, checkpoint: Path, proof: Proof, served: LogProbs, base: LogProbs) -> None:
        tolerance = max(TOLERANCE[proof.precision], TOLERANCE[self.dtype])
        off, moved = _distance(served, proof.logprobs), _distance(base, proof.logprobs)
        if not off <= tolerance:  # nor where it is no number
            like = "as by the base model" if _distance(served, base) <= tolerance else f"by the base {_mean(base):.4f}"
            raise InputError(
                f"{checkpoint}: {self.kind} does not answer with these weights. Mean log-probability of a token: by "
                f"their trainer {_mean(proof.logprobs):.4f}, here {_mean(served):.4f} ({like}); a token is off by "
                f"{off:.4f}, more than the {tolerance:g} of {proof.precision} served in {self.dtype}. No answer was "
                "written: take another engine.kind, or delete checkpoints.json of the run, which makes it again"
            )
        if not moved > tolerance:
            note(f"{checkpoint.name} has moved by {moved:.4f} a token: too little to tell it from its base")


def _distance(one: LogProbs, other: LogProbs) -> float:
    """Mean absolute difference over tokens, nats; an engine with a short context sees the beginnings of texts alone."""
    gaps = [abs(a - b) for x, y in zip(one, other, strict=True) for a, b in zip(x, y, strict=False)]
    return sum(gaps) / len(gaps) if gaps else math.inf


def _mean(logprobs: LogProbs) -> float:
    values = list(chain.from_iterable(logprobs))
    return sum(values) / max(1, len(values))
