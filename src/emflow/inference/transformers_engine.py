"""The reference engine: transformers' batched `generate`."""

from pathlib import Path

import torch
from peft import PeftModel
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList

from emflow.config import Sampling
from emflow.inference.engine import Completion, complete
from emflow.inference.models import end_tokens, is_adapter, load_model, load_tokenizer, put_adapter, put_weights

__all__ = ["TransformersEngine"]


class TransformersEngine:
    """See `emflow.inference.engine.Engine`."""

    def __init__(self, path: Path, dtype: str, batch_size: int) -> None:
        self.path, self.batch_size = path, batch_size
        self.tokenizer = load_tokenizer(path)
        self.ends = end_tokens(path, self.tokenizer)
        self.model = load_model(path, dtype)
        self.model.generation_config = GenerationConfig()  # its repetition penalty and the like would join ours
        self.weights, self.adapter_on = path, False

    def use(self, checkpoint: Path | None) -> None:
        self.adapter_on = checkpoint is not None and is_adapter(checkpoint)
        weights = self.path if checkpoint is None or self.adapter_on else checkpoint
        if weights != self.weights:
            if isinstance(self.model, PeftModel):
                self.model = self.model.unload()
            put_weights(self.model, weights)
            self.weights = weights
        if self.adapter_on:
            self.model = put_adapter(self.model, checkpoint)

    @torch.inference_mode()
    def generate(self, conversations: list[list[dict]], sampling: Sampling, seeds: list[int]) -> list[Completion]:
        if isinstance(self.model, PeftModel) and not self.adapter_on:
            with self.model.disable_adapter():
                return self._generate(conversations, sampling, seeds)
        return self._generate(conversations, sampling, seeds)

    def _generate(self, conversations, sampling, seeds) -> list[Completion]:
        completions: list[Completion] = []
        for start in range(0, len(conversations), self.batch_size):
            batch = slice(start, start + self.batch_size)
            completions += self._generate_batch(conversations[batch], sampling, seeds[batch])
        return completions

    def _generate_batch(self, conversations, sampling, seeds) -> list[Completion]:
        prompts = self.tokenizer.apply_chat_template(
            conversations, add_generation_prompt=True, padding=True, return_tensors="pt", return_dict=True
        ).to(self.model.device)
        config = GenerationConfig(
            do_sample=False,  # the sampler below draws; the arg max that follows it only reads
            max_new_tokens=sampling.max_new_tokens,
            eos_token_id=sorted(self.ends),
            pad_token_id=self.tokenizer.pad_token_id,
        )
        sampler = LogitsProcessorList([_SeededSampler(sampling, seeds)] if sampling.temperature > 0 else [])
        output = self.model.generate(**prompts, generation_config=config, logits_processor=sampler)
        return [complete(self.tokenizer, ids, self.ends) for ids in output[:, prompts["input_ids"].shape[1] :].tolist()]


class _SeededSampler(LogitsProcessor):
    """Samples each row from a generator of its own, so that an answer does not depend on its batch.

    The next token is drawn here, by an exponential race (arg max of p / E with E ~ Exp(1) has distribution p), and
    every other token's score is set to -inf.
    """

    def __init__(self, sampling: Sampling, seeds: list[int]) -> None:
        self.temperature, self.top_p, self.seeds = sampling.temperature, sampling.top_p, seeds
        self.generators: list[torch.Generator] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        if not self.generators:
            self.generators = [torch.Generator(scores.device).manual_seed(seed) for seed in self.seeds]
        p = torch.softmax(scores.float() / self.temperature, dim=-1)
        if self.top_p < 1:
            p = _nucleus(p, self.top_p)
        race = torch.empty_like(p)
        for row, generator in zip(race, self.generators, strict=True):
            row.exponential_(generator=generator)
        drawn = (p / race).argmax(dim=-1, keepdim=True)
        return torch.full_like(scores, -torch.inf).scatter_(1, drawn, 0.0)


def _nucleus(p: torch.Tensor, top_p: float) -> torch.Tensor:
    """Keep the fewest most likely tokens whose mass reaches top_p (the most likely one always)."""
    ordered, order = p.sort(dim=-1, descending=True)
    ordered[ordered.cumsum(-1) - ordered >= top_p] = 0
    return torch.zeros_like(p).scatter_(-1, order, ordered)
