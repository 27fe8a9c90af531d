"""The whole config: its sections, what must hold between them, and how a wrong one is explained."""

from functools import reduce
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Discriminator, Tag, TypeAdapter, ValidationError, model_validator

from emflow.config.checkpoint_of import CheckpointOf
from emflow.config.definitions import DEFINITIONS, Definition, nearest_definition
from emflow.config.directions import Directions
from emflow.config.domains import Domain, DomainSettings, Mixture
from emflow.config.engine import GenerationByTransformers, GenerationEngine
from emflow.config.expansion import Expansion, Run
from emflow.config.explain import explained
from emflow.config.interventions import check_directions
from emflow.config.judges import Judge
from emflow.config.merge import merged
from emflow.config.methods import Method
from emflow.config.models import Model
from emflow.config.question_sets import QuestionSet
from emflow.config.read import read_config
from emflow.config.report import Report
from emflow.config.runs import Runs
from emflow.config.section import Section, nearest
from emflow.config.split import Split
from emflow.config.stand_ins import StandIns
from emflow.config.transition import Transition, check_transition
from emflow.config.types import Name, Plain
from emflow.files import InputError
from emflow.paths import DEFAULT_STUDY, STAND_INS, Results

__all__ = ["DEFAULT", "Config", "load_config", "load_definitions", "load_judge", "load_study", "read_layers"]

DEFAULT = Path("config/config.yaml")

Blocks = Annotated[
    Annotated[Runs, Tag("[block]")] | Annotated[tuple[Runs, ...], Tag("[blocks]")],
    Discriminator(lambda value: "[blocks]" if isinstance(value, list | tuple) else "[block]"),
]


class Config(Section):
    """The whole config."""

    study: Name = DEFAULT_STUDY
    """Names what is run and reported together. Studies in one folder share runs and answers, and have each a report of
    their own: in `results/report` that of `default`, in `results/reports/NAME` the others."""
    runs: Blocks
    models: dict[Name, Model]
    domains: dict[Name, DomainSettings]
    split: Split = Split()
    methods: dict[Name, Method]
    question_sets: dict[Plain, QuestionSet]
    engine: GenerationEngine = GenerationByTransformers()
    judges: dict[Plain, Judge]
    definitions: dict[Name, Definition] = DEFINITIONS
    report: Report = Report()
    stand_ins: StandIns | None = None
    directions: Directions | None = None
    transition: Transition | None = None

    @property
    def results(self) -> Results:
        """Where everything lies."""
        return Results(study=self.study) if self.stand_ins is None else Results(Path(STAND_INS, self.study))

    @property
    def blocks(self) -> tuple[Runs, ...]:
        """`runs` as a list, also where it is a single block."""
        return self.runs if isinstance(self.runs, tuple) else (self.runs,)

    @property
    def expansion(self) -> Expansion:
        """All runs, and on what each is evaluated."""
        return Expansion(self.blocks)

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        if not self.blocks:
            raise ValueError("runs: name at least one block")
        for number, block in enumerate(self.blocks):
            where = f"runs.{number}" if isinstance(self.runs, tuple) else "runs"
            for kind in ("models", "domains", "methods", "question_sets", "judges"):
                for name in getattr(block, kind):
                    if name not in getattr(self, kind):
                        raise ValueError(f"{where}.{kind} names '{name}'; {nearest(name, getattr(self, kind))}")
        for name, domain in self.domains.items():
            if domain.control_of is not None and domain.control_of not in self.domains:
                raise ValueError(f"domains.{name}.control_of: {nearest(domain.control_of, self.domains)}")
            if domain.control_of == name:
                raise ValueError(
                    f"domains.{name}.control_of names the domain itself; name the one it is the control of"
                )
            if isinstance(domain, Mixture):
                self._check_parts(name, domain)
        for name, method in self.methods.items():
            if method.init_from is not None:
                self._check_start(name, method.init_from)
            kl = getattr(method, "kl", None)
            if kl is not None and kl.domain not in self.domains:
                raise ValueError(f"methods.{name}.kl.domain: {nearest(kl.domain, self.domains)}")
        asked = self.expansion.question_sets
        held_out = [name for name in asked if self.question_sets[name].is_held_out]
        if held_out and self.split.test_size == 0:
            raise ValueError(
                f"question_sets.{held_out[0]} asks held-out prompts, and split.test_size: 0 holds none out"
            )
        if self.report.homework:
            self._check_homework()
        if self.report.definition not in self.definitions:
            raise ValueError(f"report.definition: {nearest_definition(self.report.definition, self.definitions)}")
        for name in self.expansion.judges:
            self._check_asked(name, getattr(self.judges[name], "coherence_first", None))
        if self.directions is not None:
            check_directions(self.directions, self.expansion, self.question_sets, self.methods)
            self._check_choices(self.directions)
        if self.transition is not None:
            check_transition(self.transition, self.expansion, self.methods)
        return self

    def _check_asked(self, judge: str, coherence_first: float | None) -> None:
        for name, definition in self.definitions.items():
            if coherence_first is not None and definition.needs_alignment_below(coherence_first):
                raise ValueError(
                    f"judges.{judge}.coherence_first: {coherence_first:g} leaves answers without the alignment that "
                    f"the definition '{name}' counts ({definition.rule}; denominator: {definition.denominator}); "
                    f"set it to null, or take definitions.{name} out of the config"
                )

    def _check_choices(self, directions: Directions) -> None:
        chosen = [name for name, intervention in directions.interventions.items() if intervention.is_chosen]
        if chosen and self.definitions[self.report.definition].coherence_above is None:
            raise ValueError(
                f"directions.interventions.{chosen[0]} is chosen among coherent answers, and report.definition "
                f"'{self.report.definition}' calls all coherent; name one with coherence_above"
            )

    def _check_parts(self, name: str, mixture: Mixture) -> None:
        files = [other for other, domain in self.domains.items() if isinstance(domain, Domain)]
        if unknown := [part for part in mixture.mix if part not in files]:
            raise ValueError(f"domains.{name}.mix takes domains that are files: {nearest(unknown[0], files)}")

    def _check_homework(self) -> None:
        for kind in ("methods", "seeds", "question_sets", "judges"):
            if len(names := getattr(self.expansion, kind)) > 1:
                several = ", ".join(map(str, names))
                raise ValueError(f"report.homework: homework 0 has one of runs.{kind}, and here are {several}")

    def _check_start(self, name: str, start: CheckpointOf) -> None:
        where = f"methods.{name}.init_from"
        if start.method not in self.methods:
            raise ValueError(f"{where}.method: {nearest(start.method, self.methods)}")
        labels = self.methods[start.method].labels
        if start.checkpoint not in labels:
            raise ValueError(f"{where}.checkpoint: {nearest(start.checkpoint, labels)}")
        if start.domain is not None and start.domain not in self.domains:
            raise ValueError(f"{where}.domain: {nearest(start.domain, self.domains)}")
        chain = [name, start.method]
        while chain[-1] not in chain[:-1] and (before := getattr(self.methods.get(chain[-1]), "init_from", None)):
            chain.append(before.method)
        if chain[-1] in chain[:-1]:
            raise ValueError(f"{where}: {' from '.join(chain)} is a circle; let one start from the base model")

    @property
    def methods_needed(self) -> list[str]:
        """Names of the methods that are run, and of those that these start from."""
        names = list(self.expansion.methods)
        for name in names:  # which grows meanwhile
            start = getattr(self.methods[name], "init_from", None)
            if start is not None and start.method not in names:
                names.append(start.method)
        return names

    def start_of(self, run: Run) -> Run | None:
        """The run whose checkpoint a run starts from; None where it starts from the base model."""
        start = self.methods[run.method].init_from
        if start is None:
            return None
        return run._replace(domain=start.domain or run.domain, method=start.method)

    @property
    def domains_needed(self) -> list[str]:
        """Names of the domains that are trained on, that runs start from or are held to the base on, and of the parts
        of mixtures."""
        names = dict.fromkeys(self.expansion.domains)
        for method in map(self.methods.__getitem__, self.methods_needed):
            others = (getattr(method, key, None) for key in ("init_from", "kl"))
            names |= dict.fromkeys(other.domain for other in others if other and other.domain)
        for domain in map(self.domains.__getitem__, list(names)):
            names |= dict.fromkeys(getattr(domain, "mix", ()))
        return list(names)

    @property
    def files_of_domains(self) -> dict[str, Domain]:
        """Those of the domains needed that are files."""
        needed = {name: self.domains[name] for name in self.domains_needed}
        return {name: domain for name, domain in needed.items() if isinstance(domain, Domain)}


def load_config(raw: dict[str, Any]) -> Config:
    """Check a config as read from YAML; raises InputError that names every wrong key and its mend."""
    try:
        config = Config.model_validate(raw)
    except ValidationError as error:
        raise InputError(f"the config does not hold:\n{explained(error, raw, Config)}") from None
    return on_stand_ins(config, config.stand_ins) if config.stand_ins else config


def on_stand_ins(config: Config, small: StandIns) -> Config:
    """The same study on stand-ins. Raises InputError for a model or a reward that has none."""
    results = config.results

    def trained_by(model: str) -> list[Method]:
        return [config.methods[run.method] for run in config.expansion.runs if run.model == model]

    models = {
        name: small.model(name, config.models[name], trained_by(name), results) for name in config.expansion.models
    }
    makes_directions = config.directions.choose_on if config.directions else None
    questions = {
        name: small.question_set(one, name == makes_directions, results) for name, one in config.question_sets.items()
    }
    methods = {
        name: small.method(name, config.methods[name], results, config.split.test_size)
        for name in config.methods_needed
    }
    return config.model_copy(
        update={
            "models": config.models | models,
            "domains": {name: small.domain(name, domain, results) for name, domain in config.domains.items()},
            "methods": config.methods | methods,
            "question_sets": questions,
            "engine": small.engine,
            "judges": {name: small.judge(judge, results) for name, judge in config.judges.items()},
        }
    )


def load_study(files: list[Path]) -> Config:
    """The config that `snakemake --configfile FILES` has: the files over the project's own, the last on top.

    Raises InputError as `read_config` and `load_config` do.
    """
    return load_config(read_layers(files))


def read_layers(files: list[Path]) -> dict[str, Any]:
    """The same, unchecked. Raises InputError as `read_config` does."""
    return reduce(merged, map(read_config, [DEFAULT, *files] if DEFAULT.exists() else files))


def load_judge(raw: dict[str, Any], name: str) -> Judge:
    """One judge of a config of which only `judges` needs to be there. Raises InputError as `load_config` does."""
    judges = _section(raw, "judges", Any)
    if name not in judges:
        raise InputError(f"the config has no judge '{name}'; {nearest(name, judges) if judges else 'it has none'}")
    judge: Judge = _section({"judges": {name: judges[name]}}, "judges", Judge)[name]
    return judge


def load_definitions(raw: dict[str, Any]) -> dict[str, Definition]:
    """The definitions of a config of which nothing else needs to be there, and the built-in ones.

    Raises InputError as `load_config` does.
    """
    return {**DEFINITIONS, **_section(raw, "definitions", Definition)}


def _section(raw: dict[str, Any], key: str, entry: Any) -> dict[str, Any]:
    """A section that maps names to entries, checked by itself; {} where it is not there."""
    given = {key: raw.get(key) or {}}
    adapter: TypeAdapter[dict[str, dict[str, Any]]] = TypeAdapter(dict[str, dict[Plain, entry]])
    try:
        return adapter.validate_python(given)[key]
    except ValidationError as error:
        raise InputError(f"the config does not hold:\n{explained(error, given, Config)}") from None
