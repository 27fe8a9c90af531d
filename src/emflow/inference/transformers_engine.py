"""The reference engine: transformers' batched `generate`."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import BatchEncoding, GenerationConfig, LogitsProcessor, LogitsProcessorList, PreTrainedModel

from emflow.config.question_sets import Sampling
from emflow.inference.engine import Completion, complete
from emflow.models.adapters import put_adapter, put_weights
from emflow.models.chat_template import TemplateArguments, prompt_ids
from emflow.models.checkpoints import is_adapter
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

    def generate(
        self, conversations: list[list[dict[str, Any]]], sampling: Sampling, seeds: list[int]
    ) -> list[Completion]:
        return self.continued(prompt_ids(self.tokenizer, conversations), sampling, seeds)

    def continued(self, prompts: list[list[int]], sampling: Sampling, seeds: list[int]) -> list[Completion]:
        """As `generate`, of token ids."""
        completions: list[Completion] = []
        with self.model_in_use(), torch.inference_mode():
            for start in range(0, len(prompts), self.batch_size):
                batch = slice(start, start + self.batch_size)
                completions += self._continued_batch(prompts[batch], sampling, seeds[batch])
        return completions

    def first_tokens(self, prompts: list[list[int]], number: int) -> list[list[tuple[str, float]]]:
        """The likeliest tokens after each prompt (token ids) with their natural log-probabilities, falling."""
        found = []
        config = GenerationConfig(
            max_new_tokens=1,
            output_logits=True,
            return_dict_in_generate=True,
            pad_token_id=self.tokenizer.pad_token_id,
        )
        with self.model_in_use(), torch.inference_mode():
            for start in range(0, len(prompts), self.batch_size):
                batch = self._padded(prompts[start : start + self.batch_size])
                (logits,) = self.model.generate(**batch, generation_config=config).logits
                likeliest = logits.float().log_softmax(dim=-1).topk(number)
                for tokens, logprobs in zip(likeliest.indices, likeliest.values.tolist(), strict=True):
                    texts = [self.tokenizer.decode(token) for token in tokens]
                    found.append(list(zip(texts, logprobs, strict=True)))
        return found

    def logprobs(self, texts: Sequence[Sequence[int]]) -> list[list[float]]:
        with self.model_in_use() as model:
            return token_logprobs(model, texts)

    def _padded(self, prompts: list[list[int]]) -> BatchEncoding:
        return self.tokenizer.pad({"input_ids": prompts}, return_tensors="pt").to(self.model.device)

    def _continued_batch(self, asked: list[list[int]], sampling: Sampling, seeds: list[int]) -> list[Completion]:
        prompts = self._padded(asked)
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
            processors.append(_SeededSampler(sampling, seeds, self.model.device))
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
    """Samples each row by numbers of its own, so that an answer does not depend on its batch.

    The next token is drawn here, by inversion: with the masses of all tokens end to end on (0, 1], it is the one on
    whose mass the row's next number falls. Every other token's score is set to -inf.
    """

    def __init__(self, sampling: Sampling, seeds: list[int], device: torch.device) -> None:
        self.sampling = sampling
        numbers = torch.empty(len(seeds), sampling.max_new_tokens, dtype=torch.float64)
        for row, seed in zip(numbers, seeds, strict=True):
            row.uniform_(generator=torch.Generator().manual_seed(seed))  # a CPU's: the same on every device
        self.numbers = iter((1 - numbers).to(device).split(1, dim=1))

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        p = torch.softmax(scores.float() / self.sampling.temperature, dim=-1)
        if 0 < self.sampling.top_k < p.shape[-1]:
            p = _likeliest(p, self.sampling.top_k)
        if self.sampling.top_p < 1:
            p = _nucleus(p, self.sampling.top_p)
        ends = p.cumsum(dim=-1, dtype=torch.float64)
        drawn = torch.searchsorted(ends, next(self.numbers) * ends[:, -1:])  # the first end that reaches it
        drawn.clamp_(max=p.shape[-1] - 1)  # none does where a model gives NaN
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
