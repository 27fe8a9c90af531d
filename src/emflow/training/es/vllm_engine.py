"""ES inside vLLM: members are made of its weights in place."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emflow.config import Es, Sampling
from emflow.inference.vllm_engine import VllmEngine
from emflow.training.chat import IGNORED
from emflow.training.es.engine import Example

if TYPE_CHECKING:
    from vllm import LLM

__all__ = ["VllmEs"]


class VllmEs:
    """See `emflow.training.es.engine.EsEngine`."""

    def __init__(self, start: Path, method: Es) -> None:
        extension = "emflow.training.es.vllm_worker.EsWorker"
        self.engine = VllmEngine(start, method.dtype, method.engine, worker_extension_cls=extension)
        self.llm, self.tokenizer = self.engine.llm, self.engine.tokenizer
        self.generator = self.llm.collective_rpc("es_begin", args=(str(start), method.noise, method.decay))[0]
        self.weights = _WorkersWeights(self.llm)
        self.greedy = Sampling(temperature=0, max_new_tokens=method.max_new_tokens)

    def cross_entropy(self, examples: list[Example]) -> float:
        from vllm import SamplingParams

        scoring = SamplingParams(max_tokens=1, prompt_logprobs=0, detokenize=False)
        prompts = [{"prompt_token_ids": example["input_ids"]} for example in examples]
        losses = [
            -told[token].logprob
            for example, output in zip(examples, self.llm.generate(prompts, scoring, use_tqdm=False), strict=True)
            for told, token, label in zip(output.prompt_logprobs, example["input_ids"], example["labels"], strict=True)
            if label != IGNORED
        ]
        return sum(losses) / len(losses)

    def generate(self, conversations: list[list[dict]]) -> list[str]:
        return [answer.text for answer in self.engine.generate(conversations, self.greedy, [0] * len(conversations))]


class _WorkersWeights:
    """The moves of `emflow.training.es.weights.Weights`, made in vLLM's worker."""

    def __init__(self, llm: "LLM") -> None:
        self.llm = llm

    def perturb(self, seed: int, sigma: float) -> None:
        self._move("perturb", seed, sigma)

    def restore(self) -> None:
        self._move("restore")

    def update(self, seeds: Sequence[int], coefficients: Sequence[float]) -> None:
        self._move("update", seeds, coefficients)

    def digest(self) -> str:
        return self._move("digest")

    def _move(self, name: str, *arguments: Any) -> Any:
        return self.llm.collective_rpc("es", args=(name, *arguments))[0]
