"""Asking a local model under vLLM, offline and batched: no network, the same scores every time."""

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

from emflow.config import VllmEngine, VllmJudge
from emflow.files import InputError, digest
from emflow.judging.scores import TOP_LOGPROBS, Failure, Reply

__all__ = ["LocalModel"]

BATCH = 1024  # prompts between two savings of the replies; vLLM forms its own batches within


class LocalModel:
    """See `emflow.judging.asking.Asker`. The model is loaded for the first prompt, so a full cache costs no load."""

    def __init__(self, config: VllmJudge, folder: Path | None) -> None:
        """`folder`: where a hub model's files have been fetched to; None leaves a hub id to vLLM.

        Raises InputError where a folder holds no model.
        """
        self.config = config
        if folder is None and config.is_local:
            folder = Path(config.path).expanduser()
        if folder is not None and not (folder / "config.json").exists():
            raise InputError(f"{folder} holds no model (no config.json there); check judges.NAME.path")
        self.path = folder or config.path
        self.model = Path(config.path).name if config.is_local else config.path
        self.revision = digest(folder) if config.is_local else config.revision  # what tells these weights from others
        self.sampling = {
            "temperature": 0,
            "max_tokens": 1 if config.scoring == "logprobs" else config.max_tokens,
            "dtype": config.dtype,
        }

    def announce(self, prompts: Sequence[str]) -> str:
        """Say what is about to be done."""
        return f"{len(prompts):,} prompts for {self.model}"

    def ask(self, prompts: Sequence[str], heard: Callable[[int, Reply | Failure], bool]) -> None:
        """Call `heard(number of the prompt, what came back)`, in order, until it returns False.

        Raises InputError in logprobs scoring where the tokenizer splits the integers 0..100.
        """
        for start in range(0, len(prompts), BATCH):
            replies = self._replies(prompts[start : start + BATCH])
            go_on = [heard(number, reply) for number, reply in enumerate(replies, start=start)]
            if not all(go_on):
                return

    @cached_property
    def _llm(self):
        from emflow.inference.vllm_engine import start_vllm

        llm = start_vllm(
            self.path,
            self.config.dtype,
            VllmEngine(kind="vllm"),
            seed=0,
            revision=None if self.config.is_local else self.revision,
        )
        if self.config.scoring == "logprobs":
            _require_whole_numbers(llm.get_tokenizer(), self.model)
        return llm

    def _replies(self, prompts: Sequence[str]) -> list[Reply | Failure]:
        from vllm import SamplingParams

        tokenizer, limit = self._llm.get_tokenizer(), self._llm.model_config.max_model_len
        logprobs = TOP_LOGPROBS if self.config.scoring == "logprobs" else None
        sampling = SamplingParams(temperature=0, max_tokens=self.sampling["max_tokens"], logprobs=logprobs)

        replies: list[Reply | Failure | None] = [None] * len(prompts)
        asked, numbers = [], []
        for number, prompt in enumerate(prompts):
            chat = [{"role": "user", "content": prompt}]
            text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
            ids = tokenizer.encode(text, add_special_tokens=False)  # the template has written them
            if len(ids) + sampling.max_tokens > limit:
                replies[number] = Failure(f"the prompt has {len(ids)} tokens; with its reply the judge takes {limit}")
            else:
                asked.append({"prompt_token_ids": ids})
                numbers.append(number)
        for number, output in zip(numbers, self._llm.generate(asked, sampling, use_tqdm=False), strict=True):
            replies[number] = _reply(output)
        return replies


def _reply(output) -> Reply:
    completion = output.outputs[0]
    tokens = len(output.prompt_token_ids), len(completion.token_ids)
    if completion.logprobs is None:
        return Reply(completion.text, tokens=tokens)
    ranked = sorted(completion.logprobs[0].values(), key=lambda token: -token.logprob)[:TOP_LOGPROBS]
    return Reply(completion.text, tuple((token.decoded_token, token.logprob) for token in ranked), tokens=tokens)


def _require_whole_numbers(tokenizer, judge: str) -> None:
    split = [n for n in range(101) if len(tokenizer.encode(str(n), add_special_tokens=False)) != 1]
    if split:
        raise InputError(
            f"the tokenizer of {judge} writes {split[0]} in several tokens, so a first token is no score; "
            "set judges.NAME.scoring: text, or take a judge with one token per integer (Llama 3, not Qwen)"
        )
