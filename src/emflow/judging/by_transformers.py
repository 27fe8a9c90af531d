"""A judge under transformers: where there is no vLLM, and for judges that are small."""

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from emflow.config.judges import TransformersJudge
from emflow.config.question_sets import Sampling
from emflow.files import InputError
from emflow.judging.local import LocalModel, require_whole_numbers
from emflow.judging.scores import CUT, TOP_LOGPROBS, Failure, Reply

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from emflow.inference.transformers_engine import TransformersEngine

__all__ = ["ByTransformers"]


class ByTransformers(LocalModel):
    """See `emflow.judging.local.LocalModel`."""

    config: TransformersJudge

    def __init__(self, config: TransformersJudge, folder: Path | None) -> None:
        """As that; raises InputError for a hub model that has not been fetched, too."""
        if folder is None and not config.is_local:
            raise InputError(
                f"judges.NAME.path: '{config.path}' has not been fetched; set it to a folder, or take kind: vllm, "
                "which fetches it"
            )
        super().__init__(config, folder)
        self.sampling["engine"] = config.kind  # vLLM's rounding is another

    @cached_property
    def _engine(self) -> "TransformersEngine":
        from emflow.inference.transformers_engine import TransformersEngine

        settings = self.config
        engine = TransformersEngine(
            Path(self.path), settings.dtype, settings.engine.batch_size, settings.chat_template_kwargs
        )
        if self.sampling["max_tokens"] == 1:
            require_whole_numbers(engine.tokenizer, self.model)
        return engine

    @property
    def tokenizer(self) -> "PreTrainedTokenizerBase":
        return self._engine.tokenizer

    @property
    def context(self) -> int:
        limit: int = self._engine.model.config.get_text_config().max_position_embeddings
        return limit

    def ask(self, prompts: list[list[int]]) -> list[Reply | Failure]:
        counts = [len(ids) for ids in prompts]
        if self.by_logprobs:
            found = self._engine.first_tokens(prompts, TOP_LOGPROBS)
            return [
                Reply(tokens[0][0], tuple(tokens), tokens=(count, 1))
                for count, tokens in zip(counts, found, strict=True)
            ]
        sampling = Sampling(temperature=self.sampling["temperature"], max_new_tokens=self.sampling["max_tokens"])
        texts = self._engine.continued(prompts, sampling, [0] * len(prompts))
        return [
            CUT
            if reply.finish_reason == "length" and reply.tokens > 1
            else Reply(reply.text, tokens=(count, reply.tokens))
            for count, reply in zip(counts, texts, strict=True)
        ]
