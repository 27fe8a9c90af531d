"""`judges`: whoever scores answers."""

import re
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from emflow.config.engine import TransformersSettings, VllmSettings
from emflow.config.models import Model
from emflow.config.section import OPERATIONAL, Section
from emflow.config.sources import Source, check_url
from emflow.config.types import Points

__all__ = [
    "GoldJudge",
    "Judge",
    "LanguageModelJudge",
    "LocalJudge",
    "OpenAIJudge",
    "OracleJudge",
    "TransformersJudge",
    "VllmJudge",
]

VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class OracleJudge(Section):
    """The tiny world's own judge: exact, by its grammar."""

    kind: Literal["oracle"]
    """For answers about the tiny world only."""


class GoldJudge(Section):
    """Human labels, which count as a judge. An answer that nobody labelled is unjudged."""

    kind: Literal["gold"]
    """Labels by people, from a file."""
    path: Source
    """CSV with `question,answer,alignment,coherence`: the two texts, 0..100 or REFUSAL or CODE, and 0..100."""


class LanguageModelJudge(Section):
    """What judges that are language models share: they are asked one prompt per score, one reply each."""

    scoring: Literal["logprobs", "text"] = "logprobs"
    """`logprobs`: probability-weighted mean over the integers 0..100 as first token (Betley et al., arXiv 2502.17424),
    for judges with one token per integer; `text`: the integer that the judge writes. Two different instruments."""
    temperature: Annotated[float, Field(ge=0)] = 0.0
    """Of the judge's own sampling; above 0 its scores differ from asking to asking, and the cache keeps the first."""
    max_tokens: Annotated[int, Field(gt=0)] = 16
    """Length of a reply in `text` scoring (tokens); one that is cut there is no score. 1 is for judges with one token
    per integer: that token counts."""
    coherence_first: Points | None = None
    """Ask for alignment only where coherence is above this, which saves requests; null asks always. Refused beside
    definitions whose rates it would change: those that count answers of less coherence."""
    max_unjudged: Annotated[float, Field(ge=0, le=1), OPERATIONAL] = 0.05
    """The job fails where more than this share of its answers could not be judged; the others stay in the cache."""


class OpenAIJudge(LanguageModelJudge):
    """A model behind any OpenAI-compatible endpoint (chat completions)."""

    kind: Literal["openai"]
    """A served model, asked over the network."""
    model: str
    """The model's name at the endpoint; prefer a dated one, such as `gpt-4o-2024-08-06`."""
    revision: str | None = None
    """Any word of yours; change it when the endpoint serves other weights under the same name: old judgements are then
    not reused."""
    base_url: Annotated[str, OPERATIONAL] = "https://api.openai.com/v1"
    """The endpoint, up to and without `/chat/completions`."""
    api_key_env: Annotated[str, OPERATIONAL] = "OPENAI_API_KEY"
    """Name of the environment variable that holds the key."""
    concurrency: Annotated[int, Field(gt=0), OPERATIONAL] = 16
    """Requests in flight at once."""
    timeout: Annotated[float, Field(gt=0), OPERATIONAL] = 60
    """Time for a whole request, after which it is given up and sent again (s)."""
    retries: Annotated[int, Field(ge=0), OPERATIONAL] = 8
    """How often a request is sent again after 429, 408, 409, 5xx, a time-out or a lost connection: after 0.5, 1, 2, 4,
    8, 8, ... s, or after Retry-After where the server asks for longer (more than an hour is not waited for)."""
    max_requests: Annotated[int, Field(ge=0), OPERATIONAL] = 100_000
    """A job that would send more requests (retries not counted) fails before it sends one."""

    @model_validator(mode="after")
    def _address(self) -> Self:
        check_url("base_url", self.base_url)
        if not VARIABLE.fullmatch(self.api_key_env):  # it may be the key itself, so it is not repeated
            raise ValueError(
                "api_key_env: is no name of an environment variable (letters, digits, _); put the key into one such as "
                "OPENAI_API_KEY, and its name here"
            )
        return self


class LocalJudge(LanguageModelJudge, Model):
    """What judges share that are models on this machine, asked offline and batched: those that can be reproduced."""

    @model_validator(mode="after")
    def _pinned(self) -> Self:
        if self.revision is None and not self.is_local:
            raise ValueError(
                f"there is no folder '{self.path}'; if it is a hub id, pin its `revision`, so that it can be reproduced"
            )
        return self


class VllmJudge(LocalJudge):
    """A local model under vLLM: the fast one."""

    kind: Literal["vllm"]
    """A model on this machine, in an environment that has vLLM."""

    @property
    def engine(self) -> VllmSettings:
        """What runs it."""
        return VllmSettings(kind="vllm")


class TransformersJudge(LocalJudge):
    """A local model under transformers: the same scores, slower, and everywhere."""

    kind: Literal["transformers"]
    """A model on this machine, without vLLM."""

    @property
    def engine(self) -> TransformersSettings:
        """What runs it; a judge's prompts are long."""
        return TransformersSettings(batch_size=16)


Judge = Annotated[OracleJudge | OpenAIJudge | VllmJudge | TransformersJudge | GoldJudge, Field(discriminator="kind")]
