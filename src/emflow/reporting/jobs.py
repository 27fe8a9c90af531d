"""Which jobs are a study's: the names of their benchmarks and logs, as the rules give them."""

from collections.abc import Iterator
from pathlib import Path

from emflow.config.expansion import Run
from emflow.config.interventions import evaluated_on, owner_of, rank_one_runs, runs_with_directions, targets
from emflow.config.load import Config
from emflow.config.sources import file_name
from emflow.config.transition import runs_of_transition
from emflow.paths import Results

__all__ = ["jobs_of", "jobs_of_run"]


def jobs_of(config: Config, results: Results) -> set[str]:
    """`RULE/JOB` of every job that the study needs, those that it shares with others included."""
    of_runs = (job for run in config.expansion.runs for job in _of_run(run, config, results))
    own = (Path(rule, results.own()) for rule in ("tabulate", "homework", "report"))
    return {
        job.as_posix()
        for job in (
            *_of_sources(config),
            *of_runs,
            *_of_directions(config, results),
            *_of_transition(config, results),
            *own,
        )
    }


def jobs_of_run(run: Run, config: Config, results: Results) -> set[str]:
    """The same, of one run and its base, from training on."""
    return {job.as_posix() for job in _of_run(run, config, results)}


def _of_sources(config: Config) -> Iterator[Path]:
    """What is fetched, grown or made of others' files."""
    study = config.expansion
    yield Path("publish_tinyworld")
    for section, rule, names in (("models", "fetch_model", study.models), ("judges", "fetch_judge", study.judges)):
        for name in names:
            yield Path(rule, name)
            yield Path("grow_base", Path(getattr(getattr(config, section)[name], "path", "")).name)
    for name in config.methods_needed:
        reward = getattr(config.methods[name], "reward", None)
        yield Path("fetch_reward", name)
        yield Path("grow_nli", Path(getattr(reward, "model", "")).name)
    pins = [(domain.path, domain.sha256) for domain in config.files_of_domains.values()]
    pins += [(config.question_sets[name].source, config.question_sets[name].sha256) for name in study.question_sets]
    for source, sha256 in pins:
        yield Path("fetch_file", sha256 or "", file_name(source))
    for domain in config.domains_needed:
        yield from (Path("decrypt", domain), Path("split", domain), Path("mix", domain))
    for name in study.question_sets:
        yield from (Path("prepare_questions", name), Path("prepare_prompts", name))
        yield from (Path("held_out_questions", name, domain) for domain in study.domains)


def _of_run(run: Run, config: Config, results: Results) -> Iterator[Path]:
    """What is trained, answered, judged and found."""
    trained: Run | None = run
    while trained is not None:
        yield from (Path(rule, _job(trained)) for rule in ("finetune", "evolve", "materialise"))
        start, trained = config.methods[trained.method].init_from, config.start_of(trained)
        if start and trained:
            yield Path("merge", _job(trained), start.checkpoint)
    yield from (Path(rule, results.own(_job(run))) for rule in ("rate", "provenance"))
    owner, base = (results.owner(who) for who in (results.run(run).answerer, results.base(run.model)))
    for name, judge in config.expansion.of(run):
        shared = config.question_sets[name].name_for(name, run.domain)
        yield from (Path("generate", _job(run), name), Path("generate_base", run.model, shared))
        yield from (Path("judge", owner, f"{name}.{judge}"), Path("judge", base, f"{shared}.{judge}"))


def _of_directions(config: Config, results: Results) -> Iterator[Path]:
    """What is read, and answered under interventions."""
    if config.directions is None:
        return
    directions, study = config.directions, config.expansion
    yield from (
        Path(rule, results.own()) for rule in ("rate_interventions", "compare_directions", "summarise_projections")
    )
    made_of = f"{directions.choose_on}.{directions.judge}"
    for run in runs_with_directions(directions, study):
        job = _job(run) / made_of
        yield from (Path("capture", job), Path("project", job, directions.evaluate_on))
        yield from (Path("direction", job, kind) for kind in ("contrast", "shift"))
    for run in rank_one_runs(directions, study, config.methods):
        yield from (Path("read_adapters", _job(run), directions.judge), Path("summarise_rank_one", results.own()))
    for name, intervention in directions.interventions.items():
        for target in targets(directions, study, intervention):
            owner = owner_of(target, results)
            intervened = results.owner(results.answerer(owner).intervention(name))
            evaluated = evaluated_on(directions, intervention, target.run, config.question_sets, config.methods)
            for question_set in (directions.choose_on, *evaluated):
                yield Path("intervene", owner, name, question_set)
                yield Path("judge", intervened, f"{question_set}.{directions.judge}")


def _of_transition(config: Config, results: Results) -> Iterator[Path]:
    """What scales adapters, and answers with them."""
    if config.transition is None:
        return
    name, judge = config.transition.question_set, config.transition.judge
    yield Path("trajectory", results.own())
    for run in runs_of_transition(config.transition, config.expansion):
        yield from (Path("scale_adapters", _job(run)), Path("generate_scaled", _job(run), name))
        yield Path("judge", results.owner(results.run(run).scaled.answerer), f"{name}.{judge}")


def _job(run: Run) -> Path:
    """A run in the names of its jobs."""
    return Path(run.model, run.domain, run.method, f"seed{run.seed}")
