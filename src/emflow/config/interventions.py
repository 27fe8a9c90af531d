"""What must hold between `directions` and the rest of the config, and which answers its interventions ask for."""

from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import NamedTuple

from emflow.config.directions import Add, Along, Directions, Intervention, OfAdapters, RankOneReading
from emflow.config.expansion import Evaluation, Expansion, Run
from emflow.config.finetune import Lora
from emflow.config.methods import Method
from emflow.config.question_sets import QuestionSet
from emflow.config.section import nearest
from emflow.formats.question_ids import base_id
from emflow.paths import Results

__all__ = [
    "Target", "check_directions", "domain_sets", "evaluated_on", "judgements_of_interventions", "meet", "owner_of",
    "rank_one_runs", "runs_with_directions", "tables_of_directions", "targets",
]  # fmt: skip


class Target(NamedTuple):
    """Who answers under an intervention, and whose direction it takes."""

    model: str
    run: Run | None  # whose last checkpoint answers; None is the base model
    source: Run | None  # None where no direction is taken


def runs_with_directions(directions: Directions, study: Expansion) -> list[Run]:
    """The runs of the section's domains and methods."""
    return [run for run in study.runs if run.domain in directions.domains and run.method in directions.methods]


def tables_of_directions(directions: Directions | None, study: Expansion) -> list[str]:
    """What a study's report holds of its directions, by the names of files: two of one model are compared."""
    if directions is None:
        return []
    models = [run.model for run in runs_with_directions(directions, study)]
    wanted = {"directions": len(models) > len(set(models)), "projections": directions.projections}
    wanted |= dict.fromkeys(("probes", "rank_one"), directions.rank_one is not None)
    return ["interventions", *(name for name, is_wanted in wanted.items() if is_wanted)]


def rank_one_runs(directions: Directions, study: Expansion, methods: Mapping[str, Method]) -> list[Run]:
    """Those of them whose adapters of rank 1 are read; none without `rank_one`."""
    if directions.rank_one is None:
        return []
    of_rank_one = [name for name, method in methods.items() if isinstance(method, Lora) and method.rank == 1]
    return [run for run in runs_with_directions(directions, study) if run.method in of_rank_one]


def domain_sets(directions: Directions, sets: Mapping[str, QuestionSet]) -> list[str]:
    """The sets of `rank_one` that ask about the domain that was trained on."""
    named = directions.rank_one.question_sets if directions.rank_one else ()
    return [name for name in named if sets[name].is_held_out]


def evaluated_on(
    directions: Directions,
    intervention: Intervention,
    run: Run | None,
    sets: Mapping[str, QuestionSet],
    methods: Mapping[str, Method],
) -> list[str]:
    """On which sets an intervention on a run, or on a base, is evaluated: adapters of rank 1 in their domain, too."""
    method = methods[run.method] if run else None
    of_rank_one = isinstance(method, Lora) and method.rank == 1 and isinstance(intervention, OfAdapters)
    return [directions.evaluate_on, *(domain_sets(directions, sets) if of_rank_one else [])]


def targets(directions: Directions, study: Expansion, intervention: Intervention) -> list[Target]:
    """Who answers under an intervention: of runs, those of its methods; bases once each."""
    runs = runs_with_directions(directions, study)
    if isinstance(intervention, Along) and intervention.target == "base":
        return [Target(model, None, intervention.source.of(_nobody(model))) for model in _models(runs)]
    chosen = [run for run in runs if run.method in (intervention.methods or directions.methods)]
    along = intervention.source if isinstance(intervention, Along) else None
    return [Target(run.model, run, along.of(run) if along else None) for run in chosen]


def owner_of(target: Target, results: Results) -> str:
    """Who answers, as a path under the root."""
    return results.owner(results.run(target.run).answerer if target.run else results.base(target.model))


def judgements_of_interventions(
    directions: Directions,
    study: Expansion,
    sets: Mapping[str, QuestionSet],
    methods: Mapping[str, Method],
    results: Results,
) -> list[Path]:
    """Judged answers under all interventions: on what is evaluated, and on what something is chosen."""
    files = []
    for name, intervention in directions.interventions.items():
        for target in targets(directions, study, intervention):
            answerer = results.answerer(owner_of(target, results)).intervention(name)
            asked = [directions.choose_on] if intervention.is_chosen else []
            asked += evaluated_on(directions, intervention, target.run, sets, methods)
            files += [answerer.judgements(question_set, directions.judge) for question_set in asked]
    return files


def _models(runs: list[Run]) -> list[str]:
    return list(dict.fromkeys(run.model for run in runs))


def _nobody(model: str) -> Run:
    return Run(model, "", "", -1)


def check_directions(
    directions: Directions, study: Expansion, sets: Mapping[str, QuestionSet], methods: Mapping[str, Method]
) -> None:
    """Raises ValueError, one line that names the key, where the section does not fit the runs."""
    for key, known in (("domains", study.domains), ("methods", study.methods)):
        for name in getattr(directions, key):
            if name not in known:
                raise ValueError(f"directions.{key} names '{name}', which no run has; {nearest(name, known)}")
    for name in directions.methods:
        if methods[name].kind == "lora" and methods[name].init_from is not None:
            raise ValueError(
                f"directions.methods: adapters of '{name}' go onto another run, not onto the base that a direction is "
                "compared with; leave it out"
            )
    runs = runs_with_directions(directions, study)
    if not runs:
        raise ValueError("directions: no run has one of its domains and one of its methods")
    _check_questions(directions, study, sets, runs)
    if directions.rank_one is not None:
        _check_rank_one(directions, directions.rank_one, study, methods)
    for name, intervention in directions.interventions.items():
        for line in _faults(intervention, directions, study, methods):
            raise ValueError(f"directions.interventions.{name}{line}")


def _check_questions(
    directions: Directions, study: Expansion, sets: Mapping[str, QuestionSet], runs: list[Run]
) -> None:
    chosen = [name for name, intervention in directions.interventions.items() if intervention.is_chosen]
    for key, run in product(("choose_on", "evaluate_on"), runs):
        name = getattr(directions, key)
        if Evaluation(name, directions.judge) not in study.of(run):
            raise ValueError(
                f"directions.{key}: '{name}' is not asked of {'/'.join(map(str, run))} and judged by "
                f"'{directions.judge}'; name it in runs.question_sets, and the judge in runs.judges"
            )
        if sets[name].is_held_out and (key == "evaluate_on" or chosen):
            why = f", and interventions.{chosen[0]} is chosen on it" if key == "choose_on" else ""
            raise ValueError(
                f"directions.{key}: '{name}' asks held-out prompts{why}; name a set that has a file as source"
            )
    if directions.choose_on == directions.evaluate_on or meet(sets[directions.choose_on], sets[directions.evaluate_on]):
        raise ValueError(
            "directions: choose_on and evaluate_on have questions in common; set question_sets.NAME.part to [1, 2] for "
            "one and to [2, 2] for the other"
        )


def _check_rank_one(
    directions: Directions, rank_one: RankOneReading, study: Expansion, methods: Mapping[str, Method]
) -> None:
    runs = rank_one_runs(directions, study, methods)
    if not runs:
        raise ValueError("directions.rank_one: none of directions.methods is of kind lora and of rank: 1; leave it out")
    for name, run in product(rank_one.question_sets, runs):
        if Evaluation(name, directions.judge) not in study.of(run):
            raise ValueError(
                f"directions.rank_one.question_sets: '{name}' is not asked of {'/'.join(map(str, run))} and judged by "
                f"'{directions.judge}'; name it in runs.question_sets"
            )


def meet(one: QuestionSet, other: QuestionSet) -> bool:
    """Whether two sets of one source are bound to have questions in common; those of two are compared by the job."""
    if one.source != other.source:
        return False
    if one.ids and other.ids and not set(map(base_id, one.ids)) & set(map(base_id, other.ids)):
        return False
    parts_of_one = one.part and other.part and one.ids == other.ids and one.part[1] == other.part[1]
    return not (parts_of_one and one.part != other.part)


def _faults(
    intervention: Intervention, directions: Directions, study: Expansion, methods: Mapping[str, Method]
) -> Iterator[str]:
    for method in intervention.methods or ():
        if method not in directions.methods:
            yield f".methods: {nearest(method, directions.methods)}"
    if (
        isinstance(intervention, Along)
        and intervention.target == "base"
        and None in intervention.source.identity().values()
    ):
        yield ".source: name domain, method and seed, since a base has no direction of its own"
    known = set(runs_with_directions(directions, study))
    for target in targets(directions, study, intervention):
        if target.source and target.source not in known:
            yield f".source: {'/'.join(map(str, target.source))} is no run of directions.domains and directions.methods"
        if isinstance(intervention, OfAdapters) and target.run and methods[target.run.method].kind != "lora":
            yield f".methods: '{target.run.method}' has no adapters; name methods of kind lora"
    if isinstance(intervention, Add) and min(intervention.layers) < 0:
        yield ".layers: decoder layers are counted from 0"
