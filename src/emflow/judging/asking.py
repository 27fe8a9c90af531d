"""Asking a language model for every score of every answer: each thing once, the cache first, each loss counted."""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from emflow.config import LanguageModelJudge
from emflow.console import note, progress
from emflow.files import InputError
from emflow.judging.cache import Cache, Instrument
from emflow.judging.prompts import fill
from emflow.judging.scores import Failure, Reply, Score, read_score, splits_numbers

__all__ = ["Asker", "Asking"]


class Asker(Protocol):
    """A language model that can be asked."""

    model: str
    revision: str | None
    sampling: dict[str, Any]  # what else determines a reply; with model and revision a part of the cache's key

    def announce(self, prompts: Sequence[str]) -> str:
        """Say what asking these prompts takes. Raises InputError where that is more than the config allows."""

    def ask(self, prompts: Sequence[str], heard: Callable[[int, Reply | Failure], bool]) -> None:
        """Call `heard(number of the prompt, what came back)` for each prompt, in any order, until it returns False."""


class Ask(NamedTuple):
    """One score of one answer that is wanted."""

    row: int
    name: str
    template: str


class Asking:
    """The judging of one file's rows (each with `question` and `answer`) by one model.

    `scores[row][name]` and `models[row]` (who answered) fill up as rounds of asks are run.
    """

    def __init__(self, config: LanguageModelJudge, asker: Asker, rows: list[dict], root: Path | None) -> None:
        """`root` is the folder of the cache; None keeps nothing."""
        self.config, self.asker, self.rows, self.root = config, asker, rows, root
        self.scores: list[dict[str, Score]] = [{} for _ in rows]
        self.models: list[set[str]] = [set() for _ in rows]
        self.losses: dict[int, str] = {}  # row -> why one of its scores is null
        self.replies: list[Reply] = []

    def run(self, asks: list[Ask]) -> None:
        """Get these scores: from the cache, then from the model, which is asked once where several answers are alike.

        Raises InputError once so many answers are lost that the job cannot succeed, and where the judge's tokenizer
        cannot score by logprobs; what was heard until then is in the cache.
        """
        with ExitStack() as stack:
            caches = {kind: stack.enter_context(self._cache(*kind)) for kind in {(a.name, a.template) for a in asks}}
            waiting: dict[tuple[str, str, str, str], list[Ask]] = {}
            for ask in asks:
                question, answer = self.rows[ask.row]["question"], self.rows[ask.row]["answer"]
                known = caches[ask.name, ask.template].get(question, answer)
                if known is not None:
                    self._hear(ask, known)
                else:
                    waiting.setdefault((ask.name, ask.template, question, answer), []).append(ask)
            if waiting:
                self._ask(waiting, caches, known=len(asks) - sum(map(len, waiting.values())))
        self._require_few_losses()
        if self.config.scoring == "logprobs" and splits_numbers(self.replies):
            raise InputError(
                f"{self.asker.model} seems to write 85 as 8 and 5, so its first token is no score; "
                "set judges.NAME.scoring: text, or take another judge"
            )

    def _ask(self, waiting: dict[tuple[str, str, str, str], list[Ask]], caches: dict, known: int) -> None:
        keys = list(waiting)
        prompts = [fill(template, question, answer) for _, template, question, answer in keys]
        note(f"{self.asker.announce(prompts)}; {known:,} judgements are in the cache")
        with progress(f"judge by {self.asker.model}", len(prompts)) as advance:

            def heard(number: int, reply: Reply | Failure) -> bool:
                name, template, question, answer = keys[number]
                if isinstance(reply, Reply):
                    caches[name, template].put(question, answer, reply)
                for ask in waiting[keys[number]]:
                    self._hear(ask, reply)
                advance(note=f"{len(self.losses)} unjudged" if self.losses else "")
                return self._bearable()

            self.asker.ask(prompts, heard)

    def _cache(self, name: str, template: str) -> Cache:
        who = self.asker
        return Cache(self.root, Instrument(who.model, who.revision, self.config.scoring, who.sampling, name, template))

    def _hear(self, ask: Ask, reply: Reply | Failure) -> None:
        score = read_score(reply, self.config.scoring, ask.template)
        self.scores[ask.row][ask.name] = score
        if isinstance(reply, Reply):
            self.replies.append(reply)
            self.models[ask.row].add(reply.model or self.asker.model)
        if score.error is not None:
            self.losses[ask.row] = score.error

    def _bearable(self) -> bool:
        return len(self.losses) <= self.config.max_unjudged * len(self.rows)

    def _require_few_losses(self) -> None:
        if self._bearable():
            return
        reasons = Counter(self.losses.values()).most_common(3)
        raise InputError(
            f"{len(self.losses)} of {len(self.rows)} answers could not be judged so far, more than "
            f"judges.NAME.max_unjudged = {self.config.max_unjudged:g} of them:\n"
            + "".join(f"  {count} × {reason}\n" for reason, count in reasons)
            + "What was judged is kept: run again, and only the rest is asked for. Or raise max_unjudged."
        )
