"""Training that is held to the base model on other conversations, by transformers' Trainer."""

from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from peft import PeftModel
from torch.nn.functional import kl_div, log_softmax
from transformers import DataCollatorForSeq2Seq, PreTrainedModel

from emflow.config.finetune import Kl
from emflow.data.chat import IGNORED
from emflow.training.resuming import ResumingTrainer

__all__ = ["KlTrainer"]


class KlTrainer(ResumingTrainer):
    """Adds weight x KL(base || model) to the loss, a mean over the assistant's tokens of other conversations.

    The base is the model without its adapter, or `reference` where it has none. Which conversations stand beside a
    forward pass follows from seed, step and pass, so a killed run continues with the same.
    """

    def __init__(
        self,
        *,
        kl: Kl,
        examples: list[dict[str, list[int]]],
        collator: DataCollatorForSeq2Seq,
        reference: PreTrainedModel | None = None,
        **given: Any,
    ) -> None:
        """`examples`: the other conversations, as `emflow.data.chat.encode_all` gives them, of which `collator` makes
        batches."""
        super().__init__(**given)
        self.kl, self.examples, self.collator, self.reference = kl, examples, collator, reference
        self.passes = (-1, 0)  # the step, and how many forward passes it has had
        self.divergences: list[float] = []  # since the last line of the log

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        loss = super().compute_loss(model, inputs, num_items_in_batch=num_items_in_batch)
        divergence = self._divergence(model)
        self.divergences.append(divergence.item())
        # Trainer divides by the passes of a step only what is not a mean over all tokens of the step already
        already = self.model_accepts_loss_kwargs and num_items_in_batch is not None
        return loss + self.kl.weight * divergence / (self.current_gradient_accumulation_steps if already else 1)

    def _divergence(self, model: Any) -> torch.Tensor:
        """KL(base || model) on the next batch, nats per token."""
        step, number = self.state.global_step, 0
        if self.passes[0] == step:
            number = self.passes[1]
        self.passes = (step, number + 1)
        random = np.random.default_rng([self.args.seed, step, number])
        chosen = random.choice(len(self.examples), min(self.kl.batch_size, len(self.examples)), replace=False)
        batch = self.collator([dict(self.examples[row]) for row in chosen]).to(self.args.device)
        labels = batch.pop("labels")
        learned = labels[:, 1:] != IGNORED

        def log_probabilities(of: Any) -> torch.Tensor:
            return log_softmax(of(**batch).logits[:, :-1][learned].float(), dim=-1)

        bare = model.disable_adapter() if isinstance(model, PeftModel) else nullcontext()
        with torch.no_grad(), bare:
            base = log_probabilities(self.reference or model)
        return kl_div(log_probabilities(model), base, log_target=True, reduction="batchmean")

    def log(self, logs: dict[str, float], *arguments: Any, **more: Any) -> None:
        if "loss" in logs and self.divergences:
            logs["kl"] = sum(self.divergences) / len(self.divergences)
            self.divergences.clear()
        super().log(logs, *arguments, **more)
