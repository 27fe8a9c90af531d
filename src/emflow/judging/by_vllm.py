"""A judge under vLLM, offline and batched."""

from functools import cached_property
from typing import TYPE_CHECKING

from emflow.config.judges import VllmJudge
from emflow.judging.local import LocalModel, require_whole_numbers
from emflow.judging.scores import CUT, TOP_LOGPROBS, Failure, Reply
from emflow.models.chat_template import pin_template

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase
    from vllm import LLM, RequestOutput

__all__ = ["ByVllm"]


class ByVllm(LocalModel):
    """See `emflow.judging.local.LocalModel`."""

    config: VllmJudge

    @cached_property
    def _llm(self) -> "LLM":
        from emflow.inference.vllm_engine import start_vllm

        llm = start_vllm(
            self.path,
            self.config.dtype,
            self.config.engine,
            seed=0,
            revision=None if self.config.is_local else self.revision,
        )
        pin_template(llm.get_tokenizer(), self.config.chat_template_kwargs)
        if self.sampling["max_tokens"] == 1:
            require_whole_numbers(llm.get_tokenizer(), self.model)
        return llm

    @property
    def tokenizer(self) -> "PreTrainedTokenizerBase":
        return self._llm.get_tokenizer()

    @property
    def context(self) -> int:
        limit: int = self._llm.model_config.max_model_len
        return limit

    def ask(self, prompts: list[list[int]]) -> list[Reply | Failure]:
        from vllm import SamplingParams

        sampling = SamplingParams(
            temperature=self.sampling["temperature"],
            seed=0,
            max_tokens=self.sampling["max_tokens"],
            logprobs=TOP_LOGPROBS if self.by_logprobs else None,
        )
        outputs = self._llm.generate([{"prompt_token_ids": ids} for ids in prompts], sampling, use_tqdm=False)
        return [_reply(output) for output in outputs]


def _reply(output: "RequestOutput") -> Reply | Failure:
    completion = output.outputs[0]
    tokens = len(output.prompt_token_ids), len(completion.token_ids)
    if completion.logprobs is None:
        cut = completion.finish_reason == "length" and tokens[1] > 1
        return CUT if cut else Reply(completion.text, tokens=tokens)
    ranked = sorted(completion.logprobs[0].values(), key=lambda token: -token.logprob)[:TOP_LOGPROBS]
    return Reply(completion.text, tuple((token.decoded_token, token.logprob) for token in ranked), tokens=tokens)
