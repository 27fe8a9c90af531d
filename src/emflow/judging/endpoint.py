"""Asking a model behind an OpenAI-compatible endpoint: many requests at once, patiently, and never a lost failure."""

import asyncio
import logging
import os
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from openai import AsyncOpenAI, AuthenticationError, NotFoundError, OpenAIError

from emflow.config import OpenAIJudge
from emflow.files import InputError
from emflow.judging.scores import TOP_LOGPROBS, Failure, Reply

__all__ = ["Endpoint"]


class Endpoint:
    """See `emflow.judging.asking.Asker`. The key comes from the environment and goes into the requests' header only."""

    def __init__(self, config: OpenAIJudge) -> None:
        self.config = config
        self.key = os.environ.get(config.api_key_env, "")
        if not self.key:
            raise InputError(
                f"set the environment variable {config.api_key_env} to the key for {config.base_url} "
                "(any word, where the endpoint asks for none); judges.NAME.api_key_env names the variable"
            )
        self.model, self.revision = config.model, config.revision
        self.sampling = {"temperature": 0, "max_tokens": 1 if config.scoring == "logprobs" else config.max_tokens}
        self.announced = 0
        for client in ("httpx", "httpx2"):  # which log a line per request
            logging.getLogger(client).setLevel(logging.WARNING)

    def announce(self, prompts: Sequence[str]) -> str:
        """Check the number of requests, earlier ones included, against the cap; say what is about to be sent."""
        self.announced += len(prompts)
        if self.announced > self.config.max_requests:
            raise InputError(
                f"{self.announced:,} requests to {self.model} are needed, more than judges.NAME.max_requests = "
                f"{self.config.max_requests:,}; these {len(prompts):,} were not sent. Raise it, or take fewer samples"
            )
        tokens = sum(map(len, prompts)) / 4  # English has about four characters per token
        return f"{len(prompts):,} requests with about {tokens:,.0f} prompt tokens to {self.config.base_url}"

    def ask(self, prompts: Sequence[str], heard: Callable[[int, Reply | Failure], bool]) -> None:
        """Call `heard(number of the prompt, what came back)` in the order of arrival.

        Where `heard` returns False, requests in flight are waited for and no more are sent. Raises InputError where the
        endpoint knows the key, the model or the address not.
        """
        asyncio.run(self._ask_all(prompts, heard))

    async def _ask_all(self, prompts: Sequence[str], heard: Callable[[int, Reply | Failure], bool]) -> None:
        left = deque(enumerate(prompts))
        wrong: list[OpenAIError] = []
        client = AsyncOpenAI(
            api_key=self.key,
            base_url=self.config.base_url,
            timeout=self.config.timeout,
            max_retries=self.config.retries,  # the client backs off, and honours Retry-After
        )

        async def work() -> None:
            while left:
                number, prompt = left.popleft()
                try:
                    go_on = heard(number, await self._ask(client, prompt))
                except (AuthenticationError, NotFoundError) as error:
                    wrong.append(error)
                    go_on = False
                if not go_on:
                    left.clear()

        async with client:
            await asyncio.gather(*(work() for _ in range(min(self.config.concurrency, len(prompts)))))
        if wrong:
            raise InputError(
                f"{self.config.base_url} does not serve {self.model} to this key: {self._plain(wrong[0])}\n"
                f"check judges.NAME.base_url and model, and the environment variable {self.config.api_key_env}"
            )

    async def _ask(self, client: AsyncOpenAI, prompt: str) -> Reply | Failure:
        try:
            completion = await client.chat.completions.create(
                model=self.model,
                messages=[{"role": "user", "content": prompt}],
                **self.sampling,
                **({"logprobs": True, "top_logprobs": TOP_LOGPROBS} if self.config.scoring == "logprobs" else {}),
            )
        except (AuthenticationError, NotFoundError):
            raise
        except (OpenAIError, ValueError) as error:  # ValueError: the body is no JSON
            return Failure(self._plain(error))
        return _reply(completion, self.config.scoring)

    def _plain(self, error: Exception) -> str:
        """An error as one short line without the key, which some servers echo."""
        text = " ".join(f"{type(error).__name__}: {error}".split())
        return text.replace(self.key, "<key>")[:300]


def _reply(completion: Any, scoring: str) -> Reply | Failure:
    """What a completion says; the client passes on bodies of any shape."""
    try:
        choice = completion.choices[0]
        if scoring == "text":
            text = choice.message.content
            if not text:
                return Failure("the reply is empty")
            return Reply(str(text), model=completion.model, tokens=_tokens(completion))
        if not (choice.logprobs and choice.logprobs.content):
            return Failure("the reply has no logprobs; take an endpoint that gives them, or scoring: text")
        top = choice.logprobs.content[0].top_logprobs
        logprobs = tuple((str(t.token), float(t.logprob)) for t in top)
        return Reply(str(choice.message.content), logprobs, completion.model, _tokens(completion))
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        return Failure(f"the reply is no chat completion ({type(error).__name__}: {error})"[:300])


def _tokens(completion: Any) -> tuple[int, int] | None:
    """What the endpoint counted (and bills); not every one does."""
    usage = getattr(completion, "usage", None)
    counts = getattr(usage, "prompt_tokens", None), getattr(usage, "completion_tokens", None)
    return counts if all(isinstance(count, int) for count in counts) else None
