"""One generation job: all checkpoints of a run answer one question set, with one load of the base model.

While the model is there they answer the run's other sets, too, whose jobs come after this one. Finished answers are
kept beside the output that they are for: such a job finds its answers and loads nothing, and a killed one continues
after the last of them. vLLM answers with all adapters of a run in one batch: a set of few questions fills it, too.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from emflow.config.engine import EngineSettings
from emflow.config.question_sets import Sampling
from emflow.console import finished, note, progress
from emflow.files import InputError, digest_text, read_jsonl, remove, stamp, write_jsonl, write_text
from emflow.inference.engine import AdaptersEngine, Engine
from emflow.models.checkpoints import checkpoint_folders, is_adapter, unchanged_checkpoints
from emflow.models.generation_config import with_models_own
from emflow.progress_file import ProgressFile, given_ahead

if TYPE_CHECKING:  # torch takes seconds to import, and a job whose answers are there does without
    from emflow.inference.prove import ProvenEngine
    from emflow.models.chat_template import TemplateArguments

__all__ = [
    "Generated",
    "Respondent",
    "Served",
    "Task",
    "answer_seed",
    "answered",
    "generate",
    "prompts_of",
    "shared_tasks",
    "whole_batches",
]


@dataclass(frozen=True)
class Served:
    """What is loaded, and how."""

    engine: EngineSettings
    base: Path
    dtype: str
    template: "TemplateArguments | None" = None
    """Arguments of the model's chat template."""
    prepare: Callable[[], object] = lambda: None
    """Called before anything is loaded."""


@dataclass(frozen=True)
class Respondent:
    """Whoever answers: the keys that all of a run's generation rows share, and its checkpoints by label."""

    model: str
    domain: str | None
    method: str | None
    seed: int | None
    checkpoints: dict[str, Path | None]  # label -> folder; None is the base model
    index: Path | None = None  # of the checkpoints, which are then compared with their digests before they answer


@dataclass(frozen=True)
class Task:
    """Who is asked a question set, and where the answers go."""

    respondent: Respondent
    name: str
    sampling: Sampling
    questions: Path
    """Rows of emflow.judging.questions."""
    out: Path
    code: str = ""
    """Digest of the code that answers: what other code has answered is not kept."""


@dataclass(frozen=True)
class Generated:
    """What a job made."""

    answers: int
    kept: int  # of them, from an earlier job
    tokens: int  # of the others
    seconds: float  # of generating, without loading
    others: tuple[str, ...] = ()  # sets that were answered for their jobs

    def __str__(self) -> str:
        kept = f", {self.kept:,} of them kept from an earlier job" if self.kept else ""
        speed = f", {self.tokens / self.seconds:,.0f} tokens/s" if self.tokens else ""
        others = f"; {', '.join(self.others)} answered, too" if self.others else ""
        return f"{self.answers:,} answers{kept}{speed}{others}"


def answer_seed(set_seed: int, question_id: str, paraphrase: int, sample: int) -> int:
    """Seed of one answer, in [0, 2^63): the same for every checkpoint, so that all are compared on equal noise."""
    name = json.dumps([set_seed, question_id, paraphrase, sample])
    return int.from_bytes(sha256(name.encode()).digest()[:8], "big") >> 1


def generate(served: Served, asked: Task, others: Sequence[Task] = ()) -> Generated:
    """Write every checkpoint's answers to a question set; where that takes a load, answer `others` for their jobs, too.

    Finished answers stay beside the output until all are there: a killed job continues after the last whole batch, to
    the same answers. What goes wrong with another set is left to its own job. Raises InputError for an empty question
    set, where the disk is full, where a checkpoint was changed, and before a checkpoint's first answer where the engine
    does not see what its trainer saw.
    """
    loaded = _Loaded(served, [each.respondent for each in (asked, *others)])
    with _Work(loaded, asked) as own:
        own.complete()
        ahead = tuple(other.name for other in others if loaded.is_loaded and _answer_ahead(loaded, other))
        write_jsonl(asked.out, own.done.rows)
    own.done.delete()
    remove(given_ahead(asked.out))
    return Generated(own.total, own.kept, own.tokens, own.seconds, ahead)


def shared_tasks(loads: Path, out: Path) -> list[Task]:
    """What is to be answered with the load that answers into `out`, as the workflow has planned it."""
    planned = json.loads(loads.read_text(encoding="utf-8")) if loads.exists() else []
    asked = []
    for entry in (entry for entry in planned if entry["answered_by"] == str(out)):
        index = Path(entry["index"]) if entry["index"] else None
        try:
            checkpoints: dict[str, Path | None] = {**checkpoint_folders(index)} if index else {"base": None}
        except (OSError, InputError) as error:
            _leave(Path(entry["out"]), error)
            continue
        model, domain, method, seed = entry["respondent"]
        respondent = Respondent(model, domain, method, seed, checkpoints, index)
        sampling, files = Sampling(**entry["sampling"]), (Path(entry["questions"]), Path(entry["out"]))
        asked.append(Task(respondent, entry["question_set"], sampling, *files, entry["code"]))
    return asked


def _answer_ahead(loaded: "_Loaded", other: Task) -> bool:
    """Whether another set could be answered, too."""
    try:
        with _Work(loaded, other) as answers:
            answers.complete()
        write_text(given_ahead(other.out), "")
    except Exception as error:  # whatever it is, this job's own answers are good
        _leave(other.out, error)
        return False
    return True


def _leave(out: Path, error: Exception) -> None:
    note(f"{out} is left to its own job ({type(error).__name__}: {error})")


class _Loaded:
    """The model, loaded when the first answer is missing, and once."""

    def __init__(self, served: Served, respondents: Sequence[Respondent]) -> None:
        self.served, self.respondents = served, respondents
        self.checked: set[Path] = set()

    @property
    def is_loaded(self) -> bool:
        return "engine" in vars(self)

    @cached_property
    def engine(self) -> "ProvenEngine":
        from emflow.inference.factory import make_engine
        from emflow.inference.prove import ProvenEngine

        served = self.served
        served.prepare()
        folders = list(dict.fromkeys(self._unchanged()))
        engine = make_engine(served.engine, served.base, served.dtype, folders, served.template)
        return ProvenEngine(engine, served.engine.kind, served.dtype)

    def _unchanged(self) -> Iterator[Path]:
        """The checkpoints that are to answer; a changed one must not keep the others from it."""
        for respondent in self.respondents:
            with suppress(OSError, InputError):  # told when its turn comes
                self.check(respondent.index)
                yield from filter(None, respondent.checkpoints.values())

    def check(self, index: Path | None) -> None:
        """Compare the checkpoints of a run with their digests, once."""
        if index and index not in self.checked:
            unchanged_checkpoints(index)
            self.checked.add(index)


class _Work:
    """The answers to one set, a context manager that closes their file; `done` holds those that are there."""

    def __init__(self, loaded: _Loaded, asked: Task) -> None:
        served, respondent, self.loaded, self.asked = loaded.served, asked.respondent, loaded, asked
        self.sampling = with_models_own(asked.sampling, served.base)
        self.prompts = prompts_of(asked.name, self.sampling, asked.questions)
        self.turns = _turns(served.engine, respondent)
        self.total = len(self.prompts) * len(respondent.checkpoints)
        key = _key(served, asked, self.sampling, self.prompts)
        whole = whole_batches(len(self.turns[0]) * len(self.prompts), served.engine.batch_size)
        self.done = ProgressFile(asked.out.with_name(f".{asked.out.name}.progress"), key, whole)
        self.kept, self.tokens, self.seconds = len(self.done.rows), 0, 0.0

    def __enter__(self) -> "_Work":
        self.done.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self.done.__exit__(*error)

    def complete(self) -> None:
        """Answer what is missing."""
        if self.kept == self.total:
            return
        if self.kept:
            finished(f"generation continues after {self.kept} of {self.total} answers")
        remove(given_ahead(self.asked.out))
        self.loaded.check(self.asked.respondent.index)
        engine, started = self.loaded.engine, time.monotonic()
        with progress(f"generate {self.asked.name}", self.total, done=self.kept) as advance:
            size = self.loaded.served.engine.batch_size
            given = engine, self.asked.respondent, self.turns, self.prompts, self.sampling, size
            for batch in _answers(*given, skip=self.kept):
                self.done.add(batch)
                self.tokens += sum(row["tokens"] for row in batch)
                self.seconds = time.monotonic() - started
                advance(len(batch), note=f"{batch[0]['checkpoint']}, {self.tokens / self.seconds:,.0f} tokens/s")


def whole_batches(each: int, size: int) -> Callable[[int], int]:
    """How many of the answers of a killed job are kept, where each turn gives `each`, in batches of `size`.

    An answer may depend on its batch in the last digit of a logit: batches stay the same, too.
    """
    return lambda count: count // each * each + count % each // size * size


def prompts_of(name: str, sampling: Sampling, questions: Path) -> list[dict[str, Any]]:
    """What one checkpoint is prompted with: the keys of its rows, in their order. Raises InputError for no question."""
    prompts = [
        {"question_set": name, "question_id": q["id"], "paraphrase": q["paraphrase"], "sample": sample,
         "system": q["system"], "question": q["question"]}
        for q in read_jsonl(questions)
        for sample in range(sampling.samples or q["samples"] or 1)
    ]  # fmt: skip
    if not prompts:
        raise InputError(f"{questions}: the question set is empty")
    return prompts


def _turns(engine: EngineSettings, respondent: Respondent) -> list[list[str]]:
    """Labels of the checkpoints that answer in one batch: all of a run's adapters in vLLM, else one after another."""
    labels = list(respondent.checkpoints)
    if engine.kind == "vllm" and all(folder and is_adapter(folder) for folder in respondent.checkpoints.values()):
        return [labels]
    return [[label] for label in labels]


def _answers(
    engine: "ProvenEngine",
    respondent: Respondent,
    turns: list[list[str]],
    prompts: list[dict[str, Any]],
    sampling: Sampling,
    size: int,
    skip: int,
) -> Iterable[list[dict[str, Any]]]:
    """Rows in their fixed order (checkpoint, question, sample), a batch at a time, without the first `skip`."""
    who = {"model": respondent.model, "domain": respondent.domain, "method": respondent.method, "seed": respondent.seed}
    for number, turn in enumerate(turns):
        rows = [({**who, "checkpoint": label}, prompt) for label in turn for prompt in prompts]
        left = rows[max(0, skip - number * len(rows)) :]
        if not left:
            continue
        for label in turn[(len(rows) - len(left)) // len(prompts) :]:
            engine.use(respondent.checkpoints[label])
        for start in range(0, len(left), size):
            names, batch = zip(*left[start : start + size], strict=True)
            if len(turn) > 1:
                adapters = [cast(Path, respondent.checkpoints[name["checkpoint"]]) for name in names]
                cast(AdaptersEngine, engine.engine).use_each(adapters)
            answers = answered(engine.engine, list(batch), sampling)
            yield [{**name, **row} for name, row in zip(names, answers, strict=True)]


def answered(engine: Engine, prompts: list[dict[str, Any]], sampling: Sampling) -> list[dict[str, Any]]:
    """The prompts of `prompts_of`, each with the answer of whatever the engine has in use."""
    seeds = [
        answer_seed(sampling.seed, prompt["question_id"], prompt["paraphrase"], prompt["sample"]) for prompt in prompts
    ]
    completions = engine.generate([_conversation(prompt) for prompt in prompts], sampling, seeds)
    return [
        {**prompt, "answer": c.text, "finish_reason": c.finish_reason, "tokens": c.tokens}
        for prompt, c in zip(prompts, completions, strict=True)
    ]


def _conversation(prompt: dict[str, Any]) -> list[dict[str, Any]]:
    system = [{"role": "system", "content": prompt["system"]}] if prompt["system"] else []
    return [*system, {"role": "user", "content": prompt["question"]}]


def _key(served: Served, asked: Task, sampling: Sampling, prompts: list[dict[str, Any]]) -> str:
    """What determines the answers; kept answers of another key are worthless."""
    checkpoints = asked.respondent.checkpoints
    folders = [served.base, *filter(None, checkpoints.values())]
    how = [served.engine.identity(), served.dtype, served.template, asked.code]
    what = [list(checkpoints), sampling.identity(), prompts]
    return digest_text(json.dumps([*how, *what, *map(stamp, folders)]))
