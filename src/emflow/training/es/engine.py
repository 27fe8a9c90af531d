"""What runs the members of a population: one model in memory whose weights ES moves."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch.nn.functional import cross_entropy, pad
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedTokenizerBase

from emflow.config import Es, Sampling
from emflow.inference.transformers_engine import TransformersEngine
from emflow.training.chat import IGNORED
from emflow.training.es.noise import Noise
from emflow.training.es.weights import Weights, read_masters

__all__ = ["EsEngine", "TransformersEs", "make_es_engine"]

Example = dict[str, list[int]]  # see emflow.training.chat.encode


class Movable(Protocol):
    """The moves of `emflow.training.es.weights.Weights`, wherever the weights are."""

    def perturb(self, seed: int, sigma: float) -> None: ...
    def restore(self) -> None: ...
    def update(self, seeds: Sequence[int], coefficients: Sequence[float]) -> None: ...
    def digest(self) -> str: ...


class EsEngine(Protocol):
    """Answers and scores with the weights that are in place."""

    weights: Movable
    generator: str  # of the noise, see Noise.generator
    tokenizer: PreTrainedTokenizerBase

    def cross_entropy(self, examples: list[Example]) -> float:
        """Teacher-forced cross-entropy in nats per labelled token, over all examples."""

    def generate(self, conversations: list[list[dict]]) -> list[str]:
        """One greedy answer per conversation."""


def make_es_engine(start: Path, method: Es) -> EsEngine:
    """The engine that the method names, with the weights of the folder `start`."""
    if method.engine.kind == "vllm":
        from emflow.training.es.vllm_engine import VllmEs

        return VllmEs(start, method)
    return TransformersEs(start, method)


class TransformersEs:
    """The reference engine; see `EsEngine`."""

    def __init__(self, start: Path, method: Es) -> None:
        self.engine = TransformersEngine(start, method.dtype, method.engine.batch_size)
        self.model, self.tokenizer = self.engine.model, self.engine.tokenizer
        places = dict(self.model.named_parameters())  # tied weights appear once
        noise = Noise(self.model.device, method.noise)
        self.generator = noise.generator
        self.weights = Weights(read_masters(start, places, self.model.device), places, noise, method.decay)
        self.greedy = Sampling(temperature=0, max_new_tokens=method.max_new_tokens)

    @torch.inference_mode()
    def cross_entropy(self, examples: list[Example]) -> float:
        device, total, tokens = self.model.device, 0.0, 0
        for start in range(0, len(examples), self.engine.batch_size):
            batch = examples[start : start + self.engine.batch_size]
            input_ids, labels = (
                pad_sequence([torch.tensor(e[key]) for e in batch], batch_first=True, padding_value=padding)
                for key, padding in (("input_ids", 0), ("labels", IGNORED))
            )
            targets = pad(labels[:, 1:], (0, 1), value=IGNORED)  # a token is told by the one before
            kept = (targets != IGNORED).any(dim=0).nonzero()[:, 0]  # logits of whole prompts would fill the memory
            # no attention mask: padding stands on the right, where no token looks
            logits = self.model(input_ids=input_ids.to(device), logits_to_keep=kept.to(device), use_cache=False).logits
            targets = targets[:, kept].to(device)
            losses = cross_entropy(logits[targets != IGNORED].float(), targets[targets != IGNORED], reduction="none")
            total, tokens = total + losses.double().sum().item(), tokens + len(losses)
        return total / tokens

    def generate(self, conversations: list[list[dict]]) -> list[str]:
        return [answer.text for answer in self.engine.generate(conversations, self.greedy, [0] * len(conversations))]
