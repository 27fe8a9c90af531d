"""The scores that a language model gives the answers of one file: each requested once, the cache first, and whatever
could not be judged counted."""

from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from emflow.config.judges import LanguageModelJudge
from emflow.console import note, progress
from emflow.files import InputError
from emflow.judging.cache import Cache, Instrument
from emflow.judging.judge_model import JudgeModel
from emflow.judging.prompts import fill
from emflow.judging.scores import Failure, Reply, Score, checked, read_score, splits_numbers

__all__ = ["ScoreRequest", "Scoring"]


class ScoreRequest(NamedTuple):
    """A request for one score of one answer."""

    row: int
    name: str
    template: str


class Scoring:
    """The judging of one file's rows (each with `question` and `answer`) by one model.

    `scores[row][name]` and `models[row]` (who replied) fill up as requests are run.
    """

    def __init__(
        self, config: LanguageModelJudge, judge: JudgeModel, rows: list[dict[str, Any]], root: Path | None
    ) -> None:
        """`root` is the folder of the cache; None keeps nothing."""
        self.config, self.judge, self.rows, self.root = config, judge, rows, root
        self.scores: list[dict[str, Score]] = [{} for _ in rows]
        self.models: list[set[str]] = [set() for _ in rows]
        self.unjudged: dict[int, str] = {}  # row -> why one of its scores is null
        self.replies: list[Reply] = []
        self.from_cache = 0  # of the unjudged

    def run(self, requests: list[ScoreRequest]) -> None:
        """Get these scores: from the cache, then from the model, which is asked once where answers are alike.

        Raises InputError once so many answers are unjudged that the job cannot succeed, and where the judge's tokenizer
        cannot score by logprobs; what was replied until then is in the cache.
        """
        with ExitStack() as stack:
            caches = {
                kind: stack.enter_context(self._cache(*kind)) for kind in {(r.name, r.template) for r in requests}
            }
            waiting: dict[tuple[str, str, str, str], list[ScoreRequest]] = {}
            before = len(self.unjudged)
            for request in requests:
                question, answer = self.rows[request.row]["question"], self.rows[request.row]["answer"]
                known = caches[request.name, request.template].get(question, answer)
                if known is not None:
                    self._read(request, known)
                else:
                    waiting.setdefault((request.name, request.template, question, answer), []).append(request)
            self.from_cache += len(self.unjudged) - before
            count = len(requests) - sum(map(len, waiting.values()))
            kept = f"{count:,} judgements are in the cache {self.root}" if self.root else "nothing is kept: no cache"
            if waiting:
                self._send(waiting, caches, kept)
            else:
                note(f"nothing to ask of {self.judge.model}; {kept}")
        self._require_few_unjudged()
        if self.config.scoring == "logprobs" and splits_numbers(self.replies):
            raise InputError(
                f"{self.judge.model} seems to write 85 as 8 and 5, so its first token is no score; "
                "set judges.NAME.scoring: text, or take another judge"
            )

    def _send(
        self,
        waiting: dict[tuple[str, str, str, str], list[ScoreRequest]],
        caches: dict[tuple[str, str], Cache],
        kept: str,
    ) -> None:
        keys = list(waiting)
        prompts = [fill(template, question, answer) for _, template, question, answer in keys]
        note(f"{self.judge.announce(prompts)}; {kept}")
        with progress(f"judge by {self.judge.model}", len(prompts)) as advance:

            def on_reply(number: int, reply: Reply | Failure) -> bool:
                name, template, question, answer = keys[number]
                if isinstance(reply, Reply):
                    reply = checked(reply.text, reply.logprobs, reply.model, reply.tokens)
                if isinstance(reply, Reply):
                    caches[name, template].put(question, answer, reply)
                for request in waiting[keys[number]]:
                    self._read(request, reply)
                advance(note=f"{len(self.unjudged)} unjudged" if self.unjudged else "")
                return self._bearable()

            self.judge.send(prompts, on_reply)

    def _cache(self, name: str, template: str) -> Cache:
        judge = self.judge
        instrument = Instrument(judge.model, judge.revision, self.config.scoring, judge.sampling, name, template)
        return Cache(self.root, instrument)

    def _read(self, request: ScoreRequest, reply: Reply | Failure) -> None:
        score = read_score(reply, self.config.scoring, request.template)
        self.scores[request.row][request.name] = score
        if isinstance(reply, Reply):
            self.replies.append(reply)
            self.models[request.row].add(reply.model or self.judge.model)
        if score.error is not None:
            self.unjudged[request.row] = score.error

    def _bearable(self) -> bool:
        return len(self.unjudged) <= self.config.max_unjudged * len(self.rows)

    def _require_few_unjudged(self) -> None:
        if self._bearable():
            return
        reasons = Counter(self.unjudged.values()).most_common(3)
        raise InputError(
            f"{len(self.unjudged)} of {len(self.rows)} answers could not be judged so far, more than "
            f"judges.NAME.max_unjudged = {self.config.max_unjudged:g} of them:\n"
            + "".join(f"  {count} × {reason}\n" for reason, count in reasons)
            + (f"{self.from_cache} of these are by replies that {self.root} keeps, and " if self.from_cache else "")
            + ("another judges.NAME.revision, or a deleted folder, asks for anew. " if self.from_cache else "")
            + "What was judged is kept: run again, and only the rest is asked for. Or raise max_unjudged."
        )
