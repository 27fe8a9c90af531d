"""ES inside vLLM: members are made of its weights in place."""

from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from emflow.config.engine import VllmSettings
from emflow.config.es import Es
from emflow.config.question_sets import Sampling
from emflow.data.chat import IGNORED
from emflow.inference.engine import Completion
from emflow.inference.vllm_engine import VllmEngine, lora_room
from emflow.models.chat_template import TemplateArguments, prompt_ids
from emflow.models.loading import model_without_weights
from emflow.training.es.engines.es_engine import CHECKED, Example
from emflow.training.es.engines.vllm_slots import member_request
from emflow.training.es.engines.vllm_worker import EsWorker
from emflow.training.es.low_rank import matrices

if TYPE_CHECKING:
    from vllm import LLM
    from vllm.lora.request import LoRARequest

__all__ = ["VllmEs"]


T = TypeVar("T")


class VllmEs:
    """See `emflow.training.es.engines.es_engine.EsEngine`."""

    def __init__(self, start: Path, method: Es, template: TemplateArguments | None = None) -> None:
        assert isinstance(method.engine, VllmSettings)
        extension = f"{EsWorker.__module__}.{EsWorker.__qualname__}"
        rank, moving = 0, []
        options: dict[str, Any] = {"worker_extension_cls": extension}
        if method.perturbation.kind == "low_rank":
            rank, moving = method.perturbation.rank, matrices(model_without_weights(start))
            options |= {"enable_lora": True, "max_loras": method.together, "max_lora_rank": lora_room(rank)}
            options["lora_target_modules"] = sorted({name.split(".")[-2] for name in moving})
        self.engine = VllmEngine(start, method.dtype, method.engine, template=template, **options)
        self.llm, self.tokenizer = self.engine.llm, self.engine.tokenizer
        begin = (str(start), method.noise, method.decay, rank, moving)
        self.generator = self.llm.collective_rpc("es_begin", args=begin)[0]
        self.longest = self.llm.llm_engine.vllm_config.model_config.max_model_len - 1  # it answers by a token at least
        self.weights = _WorkersWeights(self.llm)
        self.low_rank = rank > 0
        self.greedy = Sampling(temperature=0, max_new_tokens=method.max_new_tokens)

    def cross_entropy(self, examples: list[Example]) -> list[float]:
        members = range(self.weights.members)
        losses = dict(zip(members, self._losses(examples, members), strict=True))
        fine = [member for member in members if isfinite(losses[member])]
        if len(fine) < len(members):
            self._forget()
            losses |= zip(fine, self._losses(examples, fine) if fine else [], strict=True)
        return [losses[member] for member in members]

    def generate(self, conversations: list[list[dict[str, Any]]]) -> list[list[Completion]]:
        members = range(self.weights.members)
        ids = prompt_ids(self.tokenizer, conversations[:1])[0][:CHECKED]
        first: Example = {"input_ids": ids, "labels": [IGNORED, *ids[1:]]}
        fine = [member for member, loss in zip(members, self._losses([first], members), strict=True) if isfinite(loss)]
        if len(fine) < len(members):
            self._forget()
        rows = conversations * len(fine)
        self.engine.adapter = self._adapters(fine, len(conversations))
        found = self.engine.generate(rows, self.greedy, [0] * len(rows)) if rows else []
        answers = iter(_parts(found, len(conversations)))
        return [next(answers) if member in fine else [] for member in members]

    def _losses(self, examples: list[Example], members: Sequence[int]) -> list[float]:
        """Mean over the labelled tokens of each member's examples, all in one batch."""
        from vllm import SamplingParams

        scoring = SamplingParams(max_tokens=1, prompt_logprobs=0, detokenize=False)
        prompts = [{"prompt_token_ids": example["input_ids"]} for example in examples] * len(members)
        adapters = self._adapters(members, len(examples))
        outputs = self.llm.generate(prompts, scoring, use_tqdm=False, lora_request=adapters)
        return [_loss(examples, part) for part in _parts(outputs, len(examples))]

    def _forget(self) -> None:
        """After a member whose values were no numbers, which stay in vLLM's cache: without this, members after it get
        other losses and answers (vLLM 0.32 on a CPU; tests/training/es/test_vllm.py)."""
        self.llm.collective_rpc("es_forget")

    def _adapters(self, members: Sequence[int], rows: int) -> "list[LoRARequest] | None":
        """What stands for the member of each row, of so many per member; see `MemberSlots`."""
        if not (self.low_rank and self.weights.perturbed):
            return None
        return [member_request(member + 1) for member in members for _ in range(rows)]


def _loss(examples: list[Example], outputs: list[Any]) -> float:
    losses = [
        -told[token].logprob
        for example, output in zip(examples, outputs, strict=True)
        for told, token, label in zip(output.prompt_logprobs, example["input_ids"], example["labels"], strict=True)
        if label != IGNORED
    ]
    return float(sum(losses) / len(losses))


def _parts(rows: list[T], size: int) -> list[list[T]]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]


class _WorkersWeights:
    """The moves of `emflow.training.es.weights.Weights`, made in vLLM's worker."""

    def __init__(self, llm: "LLM") -> None:
        self.llm, self.members, self.perturbed = llm, 1, False

    def perturb(self, members: Sequence[tuple[int, float]]) -> None:
        self._move("perturb", members)
        self.members, self.perturbed = len(members), True

    def restore(self) -> None:
        self._move("restore")
        self.members, self.perturbed = 1, False

    def update(self, seeds: Sequence[int], coefficients: Sequence[float]) -> None:
        self._move("update", seeds, coefficients)

    def digest(self) -> str:
        return str(self._move("digest"))

    def _move(self, name: str, *arguments: Any) -> Any:
        return self.llm.collective_rpc("es", args=(name, *arguments))[0]
