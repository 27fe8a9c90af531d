# What jobs read: which files of the config and of other jobs, and which of the config's keys.
import re

from emflow.config.interventions import (
    domain_sets,
    judgements_of_interventions,
    owner_of,
    rank_one_runs,
    runs_with_directions,
    tables_of_directions,
    targets,
)
from emflow.config.sources import file_name, is_url
from emflow.config.transition import runs_of_transition
from emflow.files import digest_text
from emflow.judging.prompts import OURS
from emflow.judging.questions import published_questions
from emflow.paths import is_result


def download(url, sha256):
    """Where a file from the web lies once it is fetched."""
    return RESULTS.download(sha256, file_name(url))


def published_file(source, sha256):
    """Where a published file lies. Its digest pins a download for good: `ancient` lets nothing run again for its date."""
    return ancient(download(source, sha256)) if is_url(source) else spelt(source)


def domain_file(name):
    return published_file(CONFIG.domains[name].path, CONFIG.domains[name].sha256)


def question_file(name):
    return published_file(CONFIG.question_sets[name].source, CONFIG.question_sets[name].sha256)


def prompt_files(name):
    """What holds a set's judge prompts, if anything does."""
    questions = CONFIG.question_sets[name]
    if questions.prompts is not None:
        return [] if questions.prompts == OURS else spelt(questions.prompts)
    return [] if questions.is_held_out else question_file(name)


PINS = [(domain.path, domain.sha256) for domain in CONFIG.files_of_domains.values()]
PINS += [(questions.source, questions.sha256) for questions in CONFIG.question_sets.values()]
URLS = {str(download(url, sha256)): url for url, sha256 in PINS if sha256}
FILES_OF_RUNS = {
    *map(str, map(domain_file, CONFIG.files_of_domains)),
    *map(str, map(question_file, STUDY.question_sets)),
}


def questions_for(question_set, domain):
    """Name of a set in the paths of files that are no run's."""
    return CONFIG.question_sets[question_set].name_for(question_set, domain)


def is_users(question_set):
    """Whether a set is a file that its user may edit, neither made by the workflow nor fetched."""
    source = CONFIG.question_sets[question_set].source
    return not (is_url(source) or is_result(source))


def questions_digest(question_set):
    """Of the questions alone: a file that cannot be read is left for the job to report."""
    try:
        return digest_text(str(published_questions(Path(question_file(question_set)))))
    except InputError:
        return None


def stand_in_questions():
    """How many the tiny world publishes: enough for each part of a set; None is all, where none stand in."""
    if CONFIG.stand_ins is None:
        return None
    parts = [CONFIG.question_sets[name].part for name in STUDY.question_sets]
    return CONFIG.stand_ins.questions * max(part[1] if part else 1 for part in parts)


def methods_of(*kinds):
    """What the wildcard {method} may be where only these kinds of training are meant."""
    names = [name for name, method in CONFIG.methods.items() if method.kind in kinds]
    return "|".join(map(re.escape, names)) or "(?!)"  # no such method: matches nothing


def domains_that(are_mixed):
    """What the wildcard {domain} may be where a mixture, or a domain of its own, is meant."""
    names = [name for name, domain in CONFIG.domains.items() if hasattr(domain, "mix") == are_mixed]
    return "|".join(map(re.escape, names)) or "(?!)"


def kl_inputs(w):
    """The conversations on which a fine-tuning is held to the base, where it is."""
    kl = CONFIG.methods[w.method].kl
    return [RESULTS.train(kl.domain)] if kl else []


def sampling(question_set):
    return CONFIG.question_sets[question_set].identity("source", "sha256", "ids", "part", "prompts")


def judge_inputs(w):
    """What a judge reads besides the answers, by its kind."""
    prompts = {"prompts": RESULTS.judge_prompts(w.questions.split("/")[0])}
    match CONFIG.judges[w.judge].kind:
        case "vllm" | "transformers":
            return {**prompts, **model_inputs(w.judge, "judges")}
        case "openai":
            return prompts
        case "gold":
            return {"labels": spelt(CONFIG.judges[w.judge].path)}
        case _:
            return {}


def base_judgements(run):
    """Judged answers of a run's base model, a file for each of its evaluations."""
    return [
        RESULTS.base(run.model).judgements(questions_for(question_set, run.domain), judge)
        for question_set, judge in STUDY.of(run)
    ]


def run_judgements(run):
    """Judged answers of a run, a file for each of its evaluations."""
    return [RESULTS.run(run).answerer.judgements(*evaluation) for evaluation in STUDY.of(run)]


def run_of(w):
    return Run(w.model, w.domain, w.method, int(w.seed))


def trained_on(run):
    """Which data and recipe made a run's weights, and those of the run it starts from."""
    domain, method, start = CONFIG.domains[run.domain], CONFIG.methods[run.method], CONFIG.start_of(run)
    others = [*getattr(domain, "mix", ()), *([method.kl.domain] if getattr(method, "kl", None) else [])]
    return {
        "domain": domain.identity("control_of"),
        "other_domains": {name: CONFIG.domains[name].identity("control_of") for name in others},
        "method": method.identity(),
        "start": trained_on(start) if start else None,
    }


def settings_of_run(w):
    """A run's part of the config, for its provenance."""
    evaluations = STUDY.of(run_of(w))
    return {
        "model": CONFIG.models[w.model].identity(),
        **trained_on(run_of(w)),
        "split": CONFIG.split.identity(),
        "question_sets": {name: sampling(name) for name, _ in evaluations},
        "prompts": {name: CONFIG.question_sets[name].prompts for name, _ in evaluations},
        "engine": CONFIG.engine.identity(),
        "judges": {name: CONFIG.judges[name].identity() for _, name in evaluations},
        "definitions": {name: definition.identity() for name, definition in CONFIG.definitions.items()},
    }


DIRECTIONS = CONFIG.directions
INTERVENTIONS = DIRECTIONS.interventions if DIRECTIONS else {}
RUNS_WITH_DIRECTIONS = runs_with_directions(DIRECTIONS, STUDY) if DIRECTIONS else []
RANK_ONE_RUNS = rank_one_runs(DIRECTIONS, STUDY, CONFIG.methods) if DIRECTIONS else []


def last_label(method):
    return CONFIG.methods[method].labels[-1]


def target_of(w):
    asked = targets(DIRECTIONS, STUDY, INTERVENTIONS[w.intervention])
    return next(target for target in asked if owner_of(target, RESULTS) == w.target)


def directions_of(run):
    """A run's directions, as this study makes them."""
    return RESULTS.run(run).directions(DIRECTIONS.choose_on, DIRECTIONS.judge)


def source_inputs(w):
    """Of an intervention: who answers, along which direction, and what was chosen."""
    target, intervention = target_of(w), INTERVENTIONS[w.intervention]
    given = model_inputs(target.model)
    if target.run:
        run = RESULTS.run(target.run)
        given |= {"checkpoints": ancient(run.checkpoints), "index": run.index}
    if target.source:
        given["direction"] = directions_of(target.source).direction(intervention.direction)
    if intervention.is_chosen and w.question_set == DIRECTIONS.evaluate_on:
        given["choice"] = RESULTS.answerer(w.target).choice(w.intervention)
    if w.question_set == DIRECTIONS.evaluate_on:
        domain = (target.source or target.run).domain
        given["chosen_on"] = RESULTS.questions(questions_for(DIRECTIONS.choose_on, domain))
    return given


def intervened_judgements():
    """Judged answers under all interventions."""
    if not DIRECTIONS:
        return []
    return judgements_of_interventions(DIRECTIONS, STUDY, CONFIG.question_sets, CONFIG.methods, RESULTS)


def plain_judgements():
    """Judged answers of the same runs and bases as they are, and the checkpoints that count."""
    found = {}
    for run in RUNS_WITH_DIRECTIONS:
        for question_set in (DIRECTIONS.choose_on, DIRECTIONS.evaluate_on):
            asked = questions_for(question_set, run.domain)
            found[RESULTS.base(run.model).judgements(asked, DIRECTIONS.judge)] = ["base"]
            own = RESULTS.run(run).answerer.judgements(question_set, DIRECTIONS.judge)
            found[own] = [last_label(run.method)]
    for run in RANK_ONE_RUNS:
        for question_set in domain_sets(DIRECTIONS, CONFIG.question_sets):
            found[RESULTS.run(run).answerer.judgements(question_set, DIRECTIONS.judge)] = [last_label(run.method)]
    return found


TRANSITION = CONFIG.transition
RUNS_OF_TRANSITION = runs_of_transition(TRANSITION, STUDY) if TRANSITION else []


def of_transition(part):
    """A file of each of its runs."""
    return [part(RESULTS.run(run)) for run in RUNS_OF_TRANSITION]


def judged_of_transition(answerer):
    return answerer.judgements(TRANSITION.question_set, TRANSITION.judge)
