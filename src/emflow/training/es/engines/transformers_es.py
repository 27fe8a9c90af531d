"""ES by transformers: the reference engine."""

from pathlib import Path
from typing import Any, TypeVar

import torch
from torch.nn.functional import cross_entropy, pad
from torch.nn.utils.rnn import pad_sequence

from emflow.config.es import Es
from emflow.config.question_sets import Sampling
from emflow.data.chat import IGNORED
from emflow.files import InputError
from emflow.inference.engine import Completion
from emflow.inference.transformers_engine import TransformersEngine
from emflow.models.chat_template import TemplateArguments, prompt_ids
from emflow.training.es.engines.es_engine import CHECKED, Example
from emflow.training.es.model_weights import model_weights

__all__ = ["TransformersEs"]

COMPARED = ("qwen2",)  # whose layout in vLLM a test compares with that of the published noise


T = TypeVar("T")


class TransformersEs:
    """The reference engine; see `EsEngine`."""

    longest: int | None = None

    def __init__(self, start: Path, method: Es, template: TemplateArguments | None = None) -> None:
        self.engine = TransformersEngine(start, method.dtype, method.engine.batch_size, template)
        self.model, self.tokenizer = self.engine.model, self.engine.tokenizer
        if method.noise == "published" and (kind := self.model.config.model_type) not in COMPARED:
            raise InputError(
                f"{start}: how vLLM lays out a {kind}, which noise: published follows, is known to vLLM alone; set "
                "engine.kind: vllm, or noise: independent"
            )
        self.weights = model_weights(start, self.model, method)
        self.generator = self.weights.noise.generator
        self.greedy = Sampling(temperature=0, max_new_tokens=method.max_new_tokens)

    @torch.inference_mode()
    def cross_entropy(self, examples: list[Example]) -> list[float]:
        device, tokens, members = self.model.device, 0, self.weights.members
        total = torch.zeros(members, dtype=torch.float64, device=device)
        if len(parts := self._parts(examples)) > 1:  # with examples of like length there is less padding
            parts = self._parts(sorted(examples, key=lambda example: len(example["input_ids"])))
        for batch in parts:
            input_ids, labels = (
                pad_sequence([torch.tensor(e[key]) for e in batch], batch_first=True, padding_value=padding).repeat(
                    members, 1
                )
                for key, padding in (("input_ids", 0), ("labels", IGNORED))
            )
            targets = pad(labels[:, 1:], (0, 1), value=IGNORED)  # a token is told by the one before
            kept = (targets != IGNORED).any(dim=0).nonzero()[:, 0]  # logits of whole prompts would fill the memory
            # no attention mask: padding stands on the right, where no token looks
            logits = self.model(input_ids=input_ids.to(device), logits_to_keep=kept.to(device), use_cache=False).logits
            targets = targets[:, kept].to(device)
            losses = cross_entropy(logits[targets != IGNORED].float(), targets[targets != IGNORED], reduction="none")
            total, tokens = total + losses.double().view(members, -1).sum(dim=1), tokens + len(losses) // members
        return [float(loss) for loss in total / tokens]

    def generate(self, conversations: list[list[dict[str, Any]]]) -> list[list[Completion]]:
        answers: list[list[Completion]] = [[] for _ in range(self.weights.members)]
        for part in self._parts(conversations):
            rows = part * self.weights.members
            for row, completion in enumerate(self.engine.generate(rows, self.greedy, [0] * len(rows))):
                answers[row // len(part)].append(completion)
        numbers = self._give_numbers(conversations[0])
        return [own if fine else [] for own, fine in zip(answers, numbers, strict=True)]

    @torch.inference_mode()
    def _give_numbers(self, conversation: list[dict[str, Any]]) -> list[bool]:
        """Whether each member in place gives a prompt finite logits: the likeliest of others is the first token."""
        prompt = prompt_ids(self.tokenizer, [conversation])[0][:CHECKED]
        ids = torch.tensor([prompt] * self.weights.members, device=self.model.device)
        logits = self.model(input_ids=ids, logits_to_keep=1, use_cache=False).logits
        return [bool(fine) for fine in logits.isfinite().all(dim=-1)[:, 0]]

    def _parts(self, items: list[T]) -> list[list[T]]:
        """As many at a time as all members in place take on in one batch."""
        size = max(1, self.engine.batch_size // self.weights.members)
        return [items[start : start + size] for start in range(0, len(items), size)]
