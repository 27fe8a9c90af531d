"""What local models share as judges: no network, and the same scores every time."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emflow.config.judges import LocalJudge
from emflow.files import InputError, digest
from emflow.judging.judge_model import OnReply
from emflow.judging.scores import Failure, Reply
from emflow.models.chat_template import prompt_ids
from emflow.models.folder import require_model

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["LocalModel", "require_whole_numbers"]

BATCH = 1024  # prompts between two savings of the replies; engines form their own batches within


class LocalModel(ABC):
    """A `JudgeModel`, less what runs it. The model is loaded for the first prompt, so a full cache costs no load."""

    def __init__(self, config: LocalJudge, folder: Path | None) -> None:
        """`folder`: where a hub model's files have been fetched to; None leaves a hub id to the engine.

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
        self.by_logprobs = config.scoring == "logprobs"
        self.sampling: dict[str, Any] = {
            "temperature": config.temperature or 0,
            "max_tokens": 1 if self.by_logprobs else config.max_tokens,
            "dtype": config.dtype,
        }
        if config.chat_template_kwargs:
            self.sampling["chat_template_kwargs"] = config.chat_template_kwargs

    def announce(self, prompts: Sequence[str]) -> str:
        """Say what is about to be done."""
        return f"{len(prompts):,} prompts for {self.model}"

    def send(self, prompts: Sequence[str], on_reply: OnReply) -> None:
        """Call `on_reply`, in order, until it returns False.

        Raises InputError where a reply is one token, as in logprobs scoring, and the tokenizer splits integers 0..100.
        """
        for start in range(0, len(prompts), BATCH):
            replies = self._replies(prompts[start : start + BATCH])
            go_on = [on_reply(number, reply) for number, reply in enumerate(replies, start=start)]
            if not all(go_on):
                return

    @property
    @abstractmethod
    def tokenizer(self) -> "PreTrainedTokenizerBase":
        """With the config's arguments of its chat template in place."""

    @property
    @abstractmethod
    def context(self) -> int:
        """The most tokens that prompt and reply may have together."""

    @abstractmethod
    def ask(self, prompts: list[list[int]]) -> list[Reply | Failure]:
        """Replies to prompts (token ids) that fit the context, in their order; a text that was cut is CUT.

        In logprobs scoring with the TOP_LOGPROBS likeliest first tokens, falling, whatever the temperature.
        """

    def _replies(self, prompts: Sequence[str]) -> list[Reply | Failure]:
        room = self.context - self.sampling["max_tokens"]
        asked = prompt_ids(self.tokenizer, [[{"role": "user", "content": prompt}] for prompt in prompts])
        replies = iter(self.ask([ids for ids in asked if len(ids) <= room]))
        return [
            next(replies)
            if len(ids) <= room
            else Failure(f"the prompt has {len(ids)} tokens; with its reply the judge takes {self.context}")
            for ids in asked
        ]


def require_whole_numbers(tokenizer: "PreTrainedTokenizerBase", judge: str) -> None:
    """Raises InputError where the tokenizer splits one of the integers 0..100."""
    split = [n for n in range(101) if len(tokenizer.encode(str(n), add_special_tokens=False)) != 1]
    if split:
        raise InputError(
            f"the tokenizer of {judge} writes {split[0]} in several tokens, so a first token is no score; "
            "set judges.NAME.scoring: text (and max_tokens above 1), or take a judge with one token per integer "
            "(Llama 3, not Qwen)"
        )
