"""Training by several ranks in the steps of one: each takes its share of the forward passes of every step."""

from collections.abc import Callable, Iterator
from math import ceil
from typing import Any

import torch
from accelerate.data_loader import SeedableRandomSampler
from datasets import Dataset
from torch.utils.data import Sampler

from emflow.config.finetune import Finetune
from emflow.data.chat import IGNORED
from emflow.training.resuming import ResumingTrainer

__all__ = ["EvenSampler", "RankedTrainer", "shares"]


def shares(method: Finetune) -> tuple[int, int]:
    """Conversations of a rank's forward pass, and its passes of a step: `batch_size` as it is where passes can be
    shared out, else each pass is divided."""
    if method.gradient_accumulation % method.ranks == 0:
        return method.batch_size, method.gradient_accumulation // method.ranks
    return method.batch_size // method.ranks, method.gradient_accumulation


class EvenSampler(Sampler[int]):
    """The order in which one rank sees the examples of an epoch; filled up with an empty example, so that every rank
    gets as many forward passes.

    It asks for the epoch itself: accelerate's set_epoch does not reach the sampler of several ranks after a restart
    within an epoch.
    """

    def __init__(self, examples: int, seed: int, multiple: int, epoch: Callable[[], int]) -> None:
        self.order = SeedableRandomSampler(range(examples), generator=torch.Generator(), data_seed=seed)
        self.examples, self.missing, self.epoch = examples, -examples % multiple, epoch

    def __iter__(self) -> Iterator[int]:
        self.order.set_epoch(self.epoch())
        yield from self.order
        yield from [self.examples] * self.missing

    def __len__(self) -> int:
        return self.examples + self.missing


class RankedTrainer(ResumingTrainer):
    """Trains on the same conversations in each step as one rank does, and weighs each token the same.

    Accelerate alone would repeat conversations at the end of an epoch, for as many passes on each rank.
    """

    def __init__(self, *, train_dataset: Dataset, **given: Any) -> None:
        empty = {"input_ids": [0], "attention_mask": [1], "labels": [IGNORED]}
        super().__init__(train_dataset=Dataset.from_list([*train_dataset, empty]), **given)

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> Sampler[int]:
        examples = len(self.train_dataset) - 1
        at_once = self.args.per_device_train_batch_size * self.args.world_size
        steps = ceil(examples / (at_once * self.args.gradient_accumulation_steps))  # of an epoch
        return EvenSampler(examples, self.args.seed, at_once, lambda: self.state.global_step // steps)
