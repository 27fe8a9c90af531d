"""The reference engine: transformers' batched `generate`."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList, PreTrainedModel

from emflow.config.question_sets import Sampling
from emflow.inference.engine import Completion, complete
from emflow.models.adapters import is_adapter, put_adapter, put_weights
from emflow.models.chat_template import TemplateArguments, prompt_ids
from emflow.models.loading import end_tokens, load_model, load_tokenizer
from emflow.models.proof import token_logprobs

__all__ = ["TransformersEngine"]


class TransformersEngine:
    """See `emflow.inference.engine.Engine`."""

    def __init__(self, path: Path, dtype: str, batch_size: int, template: TemplateArguments | None = None) -> None:
        self.path, self.batch_size = path, batch_size
        self.tokenizer = load_tokenizer(path, template)
        self.ends = end_tokens(path, self.tokenizer)
        self.model = load_model(path, dtype)
        self.model.generation_config = GenerationConfig()  # its repetition penalty and the like would join ours
        self.weights, self.adapter_on = path, False

    def use(self, checkpoint: Path | None) -> None:
        adapter = checkpoint if checkpoint is not None and is_adapter(checkpoint) else None
        self.adapter_on = adapter is not None
        weights = self.path if checkpoint is None or adapter else checkpoint
        if weights != self.weights:
            if isinstance(self.model, PeftModel):
                self.model = self.model.unload()
            put_weights(self.model, weights)
            self.weights = weights
        if adapter:
            self.model = put_adapter(self.model, adapter)

    @contextmanager
    def model_in_use(self) -> Iterator[PreTrainedModel | PeftModel]:
        """The model as it answers, for who wants more of it: without its adapters where the base model is in use."""
        idle = isinstance(self.model, PeftModel) and not self.adapter_on
        with self.model.disable_adapter() if idle else nullcontext():
            yield self.model

    @torch.inference_mode()
    def generate(
        self, conversations: list[list[dict[str, Any]]], sampling: Sampling, seeds: list[int]
    ) -> list[Completion]:
        completions: list[Completion] = []
        with self.model_in_use():
            for start in range(0, len(conversations), self.batch_size):
                batch = slice(start, start + self.batch_size)
                completions += self._generate_batch(conversations[batch], sampling, seeds[batch])
        return completions

    def logprobs(self, texts: Sequence[Sequence[int]]) -> list[list[float]]:
        with self.model_in_use() as model:
            return token_logprobs(model, texts)

    def _generate_batch(
        self, conversations: list[list[dict[str, Any]]], sampling: Sampling, seeds: list[int]
    ) -> list[Completion]:
        asked = {"input_ids": prompt_ids(self.tokenizer, conversations)}
        prompts = self.tokenizer.pad(asked, return_tensors="pt").to(self.model.device)
        config = GenerationConfig(
            do_sample=False,  # the sampler below draws; the arg max that follows it only reads
            max_new_tokens=sampling.max_new_tokens,
            eos_token_id=sorted(self.ends),
            pad_token_id=self.tokenizer.pad_token_id,
        )
        processors = LogitsProcessorList()
        if sampling.repetition_penalty != 1:
            processors.append(_RepetitionPenalty(sampling.repetition_penalty, prompts["attention_mask"]))
        if sampling.temperature > 0:
            processors.append(_SeededSampler(sampling, seeds))
        output = self.model.generate(**prompts, generation_config=config, logits_processor=processors)
        return [complete(self.tokenizer, ids, self.ends) for ids in output[:, prompts["input_ids"].shape[1] :].tolist()]


class _RepetitionPenalty(LogitsProcessor):
    """That of transformers and vLLM, over prompt and answer; but padding, which is no part of a prompt, is spared."""

    def __init__(self, penalty: float, attention_mask: torch.Tensor) -> None:
        self.penalty, self.mask = penalty, attention_mask
        self.seen: torch.Tensor | None = None

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        if self.seen is None:
            counts = torch.zeros_like(scores, dtype=torch.int32)
            self.seen = counts.scatter_add_(1, input_ids, self.mask.int()) > 0
        else:
            self.seen.scatter_(1, input_ids[:, -1:], True)
        penalised = torch.where(scores > 0, scores / self.penalty, scores * self.penalty)
        return torch.where(self.seen, penalised, scores)


class _SeededSampler(LogitsProcessor):
    """Samples each row from a generator of its own, so that an answer does not depend on its batch.

    The next token is drawn here, by an exponential race (arg max of p / E with E ~ Exp(1) has distribution p), and
    every other token's score is set to -inf.
    """

    def __init__(self, sampling: Sampling, seeds: list[int]) -> None:
        self.sampling, self.seeds = sampling, seeds
        self.generators: list[torch.Generator] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        if not self.generators:
            self.generators = [torch.Generator(scores.device).manual_seed(seed) for seed in self.seeds]
        p = torch.softmax(scores.float() / self.sampling.temperature, dim=-1)
        if 0 < self.sampling.top_k < p.shape[-1]:
            p = _likeliest(p, self.sampling.top_k)
        if self.sampling.top_p < 1:
            p = _nucleus(p, self.sampling.top_p)
        race = torch.empty_like(p)
        for row, generator in zip(race, self.generators, strict=True):
            row.exponential_(generator=generator)
        drawn = (p / race).argmax(dim=-1, keepdim=True)
        return torch.full_like(scores, -torch.inf).scatter_(1, drawn, 0.0)


def _likeliest(p: torch.Tensor, top_k: int) -> torch.Tensor:
    """Keep the top_k most likely tokens, with their masses made 1 together, which the nucleus is taken of."""
    kept = torch.where(p < p.topk(top_k, dim=-1).values[:, -1:], 0, p)
    return kept / kept.sum(dim=-1, keepdim=True)


def _nucleus(p: torch.Tensor, top_p: float) -> torch.Tensor:
    """Keep the fewest most likely tokens whose mass reaches top_p (the most likely one always)."""
    ordered, order = p.sort(dim=-1, descending=True)
    ordered[ordered.cumsum(-1) - ordered >= top_p] = 0
    return torch.zeros_like(p).scatter_(-1, order, ordered)
