"""Asking a local model under vLLM, offline and batched: no network, the same scores every time."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emflow.config.judges import VllmJudge
from emflow.files import InputError, digest
from emflow.judging.judge_model import OnReply
from emflow.judging.scores import TOP_LOGPROBS, Failure, Reply
from emflow.models.chat_template import pin_template, prompt_ids
from emflow.models.folder import require_model

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase
    from vllm import LLM, RequestOutput

__all__ = ["LocalModel"]

BATCH = 1024  # prompts between two savings of the replies; vLLM forms its own batches within


class LocalModel:
    """A `JudgeModel`. The model is loaded for the first prompt, so a full cache costs no load."""

    def __init__(self, config: VllmJudge, folder: Path | None) -> None:
        """`folder`: where a hub model's files have been fetched to; None leaves a hub id to vLLM.

        Raises InputError where a folder does not hold a whole model.
        """
        self.config = config
        if folder is None and config.is_local:
            folder = Path(config.path).expanduser()
        if folder is not None:
            require_model(folder, "judges.NAME.path", config.chat_template_kwargs)
        self.path = str(folder or config.path)
        self.model = Path(config.path).name if config.is_local else config.path
        self.revision = (
            digest(self.path) if config.is_local else config.revision
        )  # what tells these weights from others
        self.sampling: dict[str, Any] = {
            "temperature": config.temperature or 0,
            "max_tokens": 1 if config.scoring == "logprobs" else config.max_tokens,
            "dtype": config.dtype,
        }
        if config.chat_template_kwargs:
            self.sampling["chat_template_kwargs"] = config.chat_template_kwargs

    def announce(self, prompts: Sequence[str]) -> str:
        """Say what is about to be done."""
        return f"{len(prompts):,} prompts for {self.model}"

    def send(self, prompts: Sequence[str], on_reply: OnReply) -> None:
        """Call `on_reply`, in order, until it returns False.

        Raises InputError in logprobs scoring where the tokenizer splits the integers 0..100.
        """
        for start in range(0, len(prompts), BATCH):
            replies = self._replies(prompts[start : start + BATCH])
            go_on = [on_reply(number, reply) for number, reply in enumerate(replies, start=start)]
            if not all(go_on):
                return

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
        if self.config.scoring == "logprobs":
            _require_whole_numbers(llm.get_tokenizer(), self.model)
        return llm

    def _replies(self, prompts: Sequence[str]) -> list[Reply | Failure]:
        from vllm import SamplingParams

        tokenizer, limit = self._llm.get_tokenizer(), self._llm.model_config.max_model_len
        logprobs = TOP_LOGPROBS if self.config.scoring == "logprobs" else None
        sampling = SamplingParams(
            temperature=self.sampling["temperature"], seed=0, max_tokens=self.sampling["max_tokens"], logprobs=logprobs
        )

        replies: dict[int, Reply | Failure] = {}
        asked, numbers = [], []
        chats = [[{"role": "user", "content": prompt}] for prompt in prompts]
        for number, ids in enumerate(prompt_ids(tokenizer, chats)):
            if len(ids) + sampling.max_tokens > limit:
                replies[number] = Failure(f"the prompt has {len(ids)} tokens; with its reply the judge takes {limit}")
            else:
                asked.append({"prompt_token_ids": ids})
                numbers.append(number)
        for number, output in zip(numbers, self._llm.generate(asked, sampling, use_tqdm=False), strict=True):
            replies[number] = _reply(output)
        return [replies[number] for number in range(len(prompts))]


def _reply(output: "RequestOutput") -> Reply:
    completion = output.outputs[0]
    tokens = len(output.prompt_token_ids), len(completion.token_ids)
    if completion.logprobs is None:
        return Reply(completion.text, tokens=tokens)
    ranked = sorted(completion.logprobs[0].values(), key=lambda token: -token.logprob)[:TOP_LOGPROBS]
    return Reply(completion.text, tuple((token.decoded_token, token.logprob) for token in ranked), tokens=tokens)


def _require_whole_numbers(tokenizer: "PreTrainedTokenizerBase", judge: str) -> None:
    split = [n for n in range(101) if len(tokenizer.encode(str(n), add_special_tokens=False)) != 1]
    if split:
        raise InputError(
            f"the tokenizer of {judge} writes {split[0]} in several tokens, so a first token is no score; "
            "set judges.NAME.scoring: text, or take a judge with one token per integer (Llama 3, not Qwen)"
        )
