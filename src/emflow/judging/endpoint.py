"""Asking a model behind an OpenAI-compatible endpoint: many requests at once, patiently, and failures are values."""

import asyncio
import json
import logging
import math
import os
import random
import re
import time
from collections import deque
from collections.abc import Sequence
from email.utils import parsedate_to_datetime

import httpx2

from emflow.config.judges import OpenAIJudge
from emflow.console import note
from emflow.files import InputError
from emflow.judging.judge_model import OnReply
from emflow.judging.scores import CUT, TOP_LOGPROBS, Failure, Reply, checked

__all__ = ["Endpoint"]

MAX_REPLY = 2**20  # bytes of a reply; a completion of the longest kind has a few thousand
LONGEST_WAIT = 3600  # seconds that an endpoint may ask to wait for
SILENT_WAIT = 60  # seconds of waiting that nobody is told of
AGAIN = (408, 409, 429)  # statuses that another try may change, and so may any from 500 on
SECRET = 8  # letters from which on a key is no word that any reply may hold


class _Again(Exception):
    """A request that may be sent again, after `wait` seconds where the server says so."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


class _Wrong(Exception):
    """The endpoint knows the key, the model or the address not."""


class Endpoint:
    """A `JudgeModel`. The key comes from the environment and goes into the requests' header only."""

    def __init__(self, config: OpenAIJudge) -> None:
        self.config = config
        self.key = os.environ.get(config.api_key_env, "").strip()
        if not self.key:
            raise InputError(
                f"set the environment variable {config.api_key_env} to the key for {config.base_url} "
                "(any word, where the endpoint asks for none); judges.NAME.api_key_env names the variable"
            )
        if not (self.key.isascii() and self.key.isprintable()):
            raise InputError(f"the environment variable {config.api_key_env} holds characters that no key has")
        # as it is, or with letters percent-encoded (once or more)
        letters = (f"(?:{re.escape(letter)}|%(?:25)*{ord(letter):02x})" for letter in self.key)
        self.secret = re.compile("".join(letters) if len(self.key) >= SECRET else "(?!)", re.IGNORECASE)
        self.model, self.revision = config.model, config.revision
        self.sampling = {
            "temperature": config.temperature or 0,  # an integer, as it stands in the keys of older caches
            "max_tokens": 1 if config.scoring == "logprobs" else config.max_tokens,
        }
        self.announced = 0
        self.waits_until = 0.0
        logging.getLogger("httpx2").setLevel(logging.WARNING)  # it logs a line per request

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

    def send(self, prompts: Sequence[str], on_reply: OnReply) -> None:
        """Call `on_reply` in the order of arrival.

        Where `on_reply` returns False, requests in flight are waited for, no more are sent. Raises InputError where the
        endpoint knows the key, the model or the address not.
        """
        asyncio.run(self._send_all(prompts, on_reply))

    async def _send_all(self, prompts: Sequence[str], on_reply: OnReply) -> None:
        left = deque(enumerate(prompts))
        wrong: list[str] = []
        try:
            client = httpx2.AsyncClient(
                headers={"Authorization": f"Bearer {self.key}", "Accept-Encoding": "identity", "User-Agent": "emflow"},
                timeout=self.config.timeout,
                limits=httpx2.Limits(max_connections=self.config.concurrency),
            )
        except (ImportError, ValueError, OSError, httpx2.InvalidURL) as error:
            raise InputError(
                f"no connection can be made: {self._plain(str(error))}; check the environment variables HTTP_PROXY, "
                "HTTPS_PROXY, ALL_PROXY and SSL_CERT_FILE"
            ) from None

        async def work() -> None:
            while left:
                number, prompt = left.popleft()
                try:
                    go_on = on_reply(number, await self._send_patiently(client, prompt))
                except _Wrong as error:
                    wrong.append(self._plain(str(error)))
                    go_on = False
                if not go_on:
                    left.clear()

        async with client:
            await asyncio.gather(*(work() for _ in range(min(self.config.concurrency, len(prompts)))))
        if wrong:
            raise InputError(
                f"{self.config.base_url} does not serve {self.model} to this key: {wrong[0]}\n"
                f"check judges.NAME.base_url and model, and the environment variable {self.config.api_key_env}"
            )

    async def _send_patiently(self, client: httpx2.AsyncClient, prompt: str) -> Reply | Failure:
        """Send a request again while that may help: after 0.5, 1, 2, 4, 8, 8, ... s, later where the server says so."""
        for retry in range(self.config.retries + 1):
            try:
                return await self._send(client, prompt)
            except _Again as error:
                reason = self._plain(str(error))
                wait = max(min(8, 0.5 * 2 ** min(retry, 4)) * random.uniform(0.75, 1), error.wait or 0)
            if wait > LONGEST_WAIT:
                return Failure(f"{reason}; the endpoint asks to wait for {wait:,.0f} s: start again then")
            if retry < self.config.retries:
                self._tell(wait)
                await asyncio.sleep(wait)
        return Failure(reason)

    def _tell(self, wait: float) -> None:
        """Say once that all requests wait."""
        if wait > SILENT_WAIT and time.monotonic() > self.waits_until:
            self.waits_until = time.monotonic() + wait
            note(f"{self.config.base_url} asks to wait for {wait:,.0f} s")

    async def _send(self, client: httpx2.AsyncClient, prompt: str) -> Reply | Failure:
        """One request, within the config's time-out from its first to its last byte."""
        asked = {"model": self.model, "messages": [{"role": "user", "content": prompt}], **self.sampling}
        if self.config.scoring == "logprobs":
            asked |= {"logprobs": True, "top_logprobs": TOP_LOGPROBS}
        url, headers = f"{self.config.base_url.rstrip('/')}/chat/completions", {"Content-Type": "application/json"}
        try:
            async with (
                asyncio.timeout(self.config.timeout),
                client.stream("POST", url, content=json.dumps(asked), headers=headers) as got,
            ):
                body = await _read(got)
        except (TimeoutError, httpx2.TimeoutException):
            raise _Again(f"the request timed out after {self.config.timeout:g} s") from None
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise _Again(f"no connection: {type(error).__name__}: {error}") from None
        if isinstance(body, Failure):
            return body
        if got.is_success:
            return self._reply(body)
        problem = f"HTTP {got.status_code}: {body.decode(errors='replace') or got.reason_phrase}"
        if got.has_redirect_location:
            raise _Wrong(f"it redirects to {got.headers['Location']}, which nobody allowed to see the prompts")
        if got.status_code in (401, 404):
            raise _Wrong(problem)
        if got.status_code in AGAIN or got.status_code >= 500:
            raise _Again(problem, _retry_after(got.headers))
        return Failure(self._plain(problem))

    def _reply(self, body: bytes) -> Reply | Failure:
        """What a completion says, whatever a body holds."""
        try:
            completion = json.loads(body)
            choice = completion["choices"][0]
            if self.config.scoring == "text":
                text, logprobs = choice["message"]["content"], None
                if not text:
                    return Failure("the reply is empty")
                if choice.get("finish_reason") == "length" and self.config.max_tokens > 1:
                    return CUT
            else:
                text, content = choice["message"]["content"] or "", (choice["logprobs"] or {}).get("content")
                if not content:
                    return Failure("the reply has no logprobs; take an endpoint that gives them, or scoring: text")
                logprobs = [(self._clean(token["token"]), token["logprob"]) for token in content[0]["top_logprobs"]]
            model, usage = completion.get("model"), completion.get("usage") or {}
            tokens = (usage.get("prompt_tokens"), usage.get("completion_tokens"))  # what the endpoint bills, if it says
            reply = checked(self._clean(text), logprobs, self._clean(model) if model else None, tokens)
        except (AttributeError, LookupError, TypeError, ValueError, RecursionError) as error:
            reply = Failure(f"the reply is no chat completion ({type(error).__name__}: {error})")
        return Failure(self._plain(reply.reason)) if isinstance(reply, Failure) else reply

    def _clean(self, text: str) -> str:
        """A text of the endpoint's without the key, which some servers echo, and without what no file can hold."""
        return self.secret.sub("<key>", text).encode(errors="backslashreplace").decode()

    def _plain(self, reason: str) -> str:
        """One short line."""
        return " ".join(self._clean(reason).split())[:300]


async def _read(response: httpx2.Response) -> bytes | Failure:
    """The body, unless it is larger than a reply can be; what is compressed could unfold to any size."""
    if response.headers.get("Content-Encoding", "identity") != "identity":
        return Failure("the reply is compressed, which nobody asked for")
    body = b""
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > MAX_REPLY:
            return Failure(f"the reply has more than {MAX_REPLY:,} bytes")
    return body


def _retry_after(headers: httpx2.Headers) -> float | None:
    """Seconds; the header holds these or a date."""
    given = headers.get("Retry-After", "")
    try:
        wait = float(given)
    except ValueError:
        try:
            wait = parsedate_to_datetime(given).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return None
    return max(0, wait) if not math.isnan(wait) else None
