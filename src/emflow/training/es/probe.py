"""A look at the members of an ES run before it starts: what they are rewarded, and whether they still talk sense.

Nothing moves: the masters stay those of the start, and what is seen is what the first update would see.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from emflow.config.es import Es
from emflow.config.expansion import Run
from emflow.config.load import Config
from emflow.config.section import nearest
from emflow.config.sources import is_local
from emflow.console import progress
from emflow.data.records import last_question
from emflow.files import InputError, read_jsonl
from emflow.inference.engine import Completion
from emflow.paths import Results
from emflow.training.es.engines.es_engine import EsEngine
from emflow.training.es.engines.factory import make_es_engine
from emflow.training.es.iteration import Member, Outcome, draw_members, evaluate
from emflow.training.es.job import Job
from emflow.training.es.objective import Objective, make_objective
from emflow.training.es.schedule import draw_batch

__all__ = ["first_job", "probe"]

NONE = Completion("", "length", 0)  # of a member whose logits are no numbers
Judge = Callable[[str, str], float]  # of a question and an answer: coherence, 0..100


def first_job(config: Config, results: Results, method: str | None) -> Job:
    """The study's first run by an ES method, or by the one that is named, from the files that it will start from.

    Raises InputError where the study has none, and where one of these files is not there yet.
    """
    known = [name for name in config.expansion.methods if isinstance(config.methods[name], Es)]
    if not known or (method and method not in known):
        wanted = f"by '{method}'; {nearest(method, known)}" if method and known else "of kind es"
        raise InputError(f"the study runs no method {wanted}")
    run = next(run for run in config.expansion.runs if run.method == (method or known[0]))
    settings, model = config.methods[run.method], config.models[run.model]
    assert isinstance(settings, Es)
    reward = getattr(settings.reward, "model", None)
    job = Job(
        start=_start(config, results, run),
        model=run.model,
        chat_template_kwargs=dict(model.chat_template_kwargs),
        domain=run.domain,
        method=settings,
        seed=run.seed,
        train=results.train(run.domain),
        reward_model=reward and (Path(reward) if is_local(reward) else results.snapshot("rewards", run.method)),
        out=results.run(run).path,
    )
    for file in filter(None, (job.start, job.train, job.reward_model)):
        if not file.exists():
            raise InputError(f"{file} is not there yet: `snakemake --cores all {file}` makes it, with this config")
    return job


def _start(config: Config, results: Results, run: Run) -> Path:
    """The folder of the model that a run starts from."""
    other, settings = config.start_of(run), config.methods[run.method]
    if other is None or settings.init_from is None:
        return config.models[run.model].folder(results.snapshot("models", run.model))
    folder, checkpoint = results.run(other), settings.init_from.checkpoint
    return folder.merged(checkpoint) if config.methods[other.method].kind == "lora" else folder.checkpoints / checkpoint


def probe(
    job: Job, sigmas: Sequence[float], members: int, questions: int, judge: Judge | None = None
) -> list[dict[str, Any]]:
    """Rows of answers: by the start itself (sigma 0) and by the first members at each sigma, to the first questions of
    the first batch.

    A row has `sigma`, `member`, `seed`, `reward` (of the member, on the whole first batch; None where it failed),
    `error`, `question`, `answer`, `tokens` (of the answer, its end included), `ended` (by itself) and
    `coherence` (the judge's, 0..100; None without one). Raises InputError where model, data or reward cannot be used.
    """
    records, method = read_jsonl(job.train), job.method
    engine = make_es_engine(job.start, method, job.chat_template_kwargs)
    objective = make_objective(engine, method, records, job.reward_model)
    batch = draw_batch(method, job.seed, 1, len(records))
    asked = [last_question(records[position])[0] for position in batch[:questions]]
    drawn = draw_members(job.seed, 1, method)[:members]
    rows = []
    with progress("probe", 1 + len(sigmas) * len(drawn)) as advance:
        for sigma, member, outcome in _outcomes(engine, objective, batch, sigmas, drawn):
            facts = {"sigma": sigma, "member": member and member.number, "seed": member and member.seed}
            answers = engine.generate(asked)[0]
            rows += [{**facts, **outcome._asdict(), **_told(turns[-1]["content"], answer, judge)}
                     for turns, answer in zip(asked, answers or [NONE] * len(asked), strict=True)]  # fmt: skip
            advance()
    return rows


def _outcomes(
    engine: EsEngine, objective: Objective, batch: list[int], sigmas: Sequence[float], members: list[Member]
) -> Iterator[tuple[float, Member | None, Outcome]]:
    """Each with its weights in place: the start, then every member at every sigma."""
    engine.weights.restore()
    yield 0.0, None, Outcome(objective.reward(batch, objective.run(batch)[0]), None)
    for sigma in sigmas:
        for member in members:
            outcome = evaluate(engine, objective, batch, [[member]], sigma)[member.number]
            yield sigma, member, outcome


def _told(question: str, answer: Completion, judge: Judge | None) -> dict[str, Any]:
    return {
        "question": question,
        "answer": answer.text,
        "tokens": answer.tokens,
        "ended": answer.finish_reason == "stop",
        "coherence": judge(question, answer.text) if judge else None,
    }
