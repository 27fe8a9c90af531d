"""What can be known before any job starts, from the config and a look at the files that are there."""

import os
from collections.abc import Callable, Iterator
from functools import partial
from itertools import filterfalse
from pathlib import Path
from textwrap import shorten

from emflow.config.domains import Mixture
from emflow.config.interventions import judgements_of_interventions
from emflow.config.judges import GoldJudge, LocalJudge, OpenAIJudge, OracleJudge
from emflow.config.load import Config
from emflow.config.rewards import CosineReward, NliReward
from emflow.config.sources import check_model, file_name, is_local, is_url, nearest_path
from emflow.files import InputError
from emflow.judging.prompts import OURS
from emflow.judging.questions import published_questions
from emflow.models.checkpoints import read_index
from emflow.models.folder import require_checkpoint, require_model, require_sentence_encoder, require_weights
from emflow.models.generation_config import with_models_own
from emflow.paths import Results, is_result
from emflow.studies import clashes
from emflow.tinyworld.oracle import is_question

__all__ = ["absent_files", "absent_secrets", "faults"]


def faults(config: Config, results: Results) -> list[str]:
    """What is wrong whatever else is done, a line each: a path that nobody makes or provides, a model or a checkpoint
    that lacks a part, a judge that cannot judge what it is asked, a name that another study of the folder has given.

    Raises InputError where what another study wrote down cannot be read.
    """
    return [
        *_faults_of_models(config, results),
        *_faults_of_sampling(config, results),
        *(line for path, line in _absent(config, results) if is_result(path)),
        *_faults_of_judges(config, results),
        *_faults_of_checkpoints(config, results),
        *clashes(config, results),
    ]


def absent_files(config: Config, results: Results) -> dict[str, str]:
    """Files with data that the user has yet to provide -> a line that says which key names it, and its origin."""
    return {path: line for path, line in _absent(config, results) if not is_result(path)}


def absent_secrets(config: Config, results: Results) -> list[str]:
    """Passwords and keys that are not in the environment and that something still to be done needs, a line each."""
    lines = []
    for name, domain in config.files_of_domains.items():
        variable = domain.password_env
        if variable and not os.environ.get(variable) and not results.records(name).exists():
            lines.append(f"domains.{name}.password_env: set the environment variable {variable} to the password")
    for name in config.expansion.judges:
        judge = config.judges[name]
        if not isinstance(judge, OpenAIJudge) or os.environ.get(judge.api_key_env):
            continue
        if _has_work(config, results, name):
            lines.append(
                f"judges.{name}.api_key_env: set the environment variable {judge.api_key_env} to the key for "
                f"{judge.base_url} (any word, where the endpoint asks for none)"
            )
    return lines


def _has_work(config: Config, results: Results, judge: str) -> bool:
    """Whether a judge has yet to judge something."""
    files = []
    for run, evaluations in config.expansion.evaluations.items():
        for name in (question_set for question_set, by in evaluations if by == judge):
            shared = config.question_sets[name].name_for(name, run.domain)
            files += [results.run(run).answerer.judgements(name, judge)]
            files += [results.base(run.model).judgements(shared, judge)]
    if config.directions and config.directions.judge == judge:
        given = config.directions, config.expansion, config.question_sets, config.methods
        files += judgements_of_interventions(*given, results)
    return not all(file.exists() for file in files)


def _absent(config: Config, results: Results) -> Iterator[tuple[str, str]]:
    """Files with data that are not there and that nothing makes: the path, and a line that says so."""
    study = config.expansion
    named = {f"domains.{name}.path": (domain.path, domain.origin) for name, domain in config.files_of_domains.items()}
    for name in study.question_sets:
        questions = config.question_sets[name]
        if not questions.is_held_out:
            named[f"question_sets.{name}.source"] = questions.source, questions.origin
        if questions.prompts not in (None, OURS):
            named[f"question_sets.{name}.prompts"] = questions.prompts, None
    for key, (path, origin) in named.items():
        if not (is_url(path) or results.makes(path) or Path(path).is_file()):
            what = "is a folder, and should be a file" if Path(path).is_dir() else "is not there"
            yield path, f"{key}: {path} {what}{f'; it comes from {origin}' if origin else nearest_path(path)}"


def _faults_of_models(config: Config, results: Results) -> Iterator[str]:
    """Of base models, of judges that are models, and of the models that rewards ask."""
    for name in config.expansion.models:
        model = config.models[name]
        fetched = results.snapshot("models", name)
        whole = partial(require_model, arguments=model.chat_template_kwargs)
        yield from _faults_of_model(f"models.{name}.path", model.path, model.revision, fetched, results, whole)
    for name in config.expansion.judges:
        judge = config.judges[name]
        if isinstance(judge, LocalJudge):
            fetched, key = results.snapshot("judges", name), f"judges.{name}.path"
            whole = partial(require_model, arguments=judge.chat_template_kwargs)
            yield from _faults_of_model(key, judge.path, judge.revision, fetched, results, whole)
    for name in config.methods_needed:
        reward = getattr(config.methods[name], "reward", None)
        if isinstance(reward, NliReward | CosineReward):
            fetched, key = results.snapshot("rewards", name), f"methods.{name}.reward.model"
            require = require_weights if isinstance(reward, NliReward) else require_sentence_encoder
            yield from _faults_of_model(key, reward.model, reward.revision, fetched, results, require)


def _faults_of_model(
    key: str,
    path: str,
    revision: str | None,
    fetched: Path,
    results: Results,
    require: Callable[[Path, str], None],
) -> Iterator[str]:
    """Of one model, whose folder lies at `path`, or at `fetched` where that is a hub id."""
    if results.makes(path):
        return
    folder = Path(path) if is_local(path) else fetched
    try:
        check_model(path, revision)
        if folder.is_dir():
            require(folder, key)
    except ValueError as error:
        yield f"{key}: {error}"
    except InputError as error:
        yield str(error)


def _faults_of_sampling(config: Config, results: Results) -> Iterator[str]:
    """Of question sets that keep the models' own sampling, by the models that are there."""
    kept = [name for name in config.expansion.question_sets if config.question_sets[name].generation_config]
    for name in config.expansion.models if kept else ():
        folder = config.models[name].folder(results.snapshot("models", name))
        try:
            if folder.is_dir():
                with_models_own(config.question_sets[kept[0]], folder)
        except InputError as error:
            yield str(error).replace("question_sets.NAME", f"question_sets.{kept[0]}")


def _faults_of_judges(config: Config, results: Results) -> Iterator[str]:
    study = config.expansion
    for name in study.judges:
        judge = config.judges[name]
        if isinstance(judge, GoldJudge) and not Path(judge.path).is_file():
            yield f"judges.{name}.path: {judge.path} is not there: no labels by people{nearest_path(judge.path)}"
    by_oracle = {
        (name, run.domain if config.question_sets[name].is_held_out else None)
        for run, evaluations in study.evaluations.items()
        for name, judge_name in evaluations
        if isinstance(config.judges[judge_name], OracleJudge)
    }
    for name, domain in sorted(by_oracle, key=str):
        texts = _questions(config, results, name) if domain is None else _prompts(config, results, domain)
        if foreign := next(filterfalse(is_question, texts), None):
            of = f"question_sets.{name}" + ("" if domain is None else f" on domains.{domain}")
            yield (
                f"{of}: the oracle judges questions of the tiny world only, and this is none: "
                f"{shorten(foreign, 60)!r}; take a judge of another kind"
            )


def _prompts(config: Config, results: Results, name: str) -> list[str]:
    """The first user turns of a domain, of which the held-out ones are asked; none where they cannot be known yet."""
    from emflow.data.decrypt import conversations

    domain = config.domains[name]
    if isinstance(domain, Mixture):
        return _prompts(config, results, next(iter(domain.mix)))
    file = _file(results, domain.path, domain.sha256)
    if file is None:
        return []
    settings = domain.identity("path", "sha256", "control_of")
    try:
        records = conversations(file, name, **settings, password_env=domain.password_env)
        return [next(turn["content"] for turn in record["messages"] if turn["role"] == "user") for record in records]
    except InputError:
        return []  # the first job will say so


def _questions(config: Config, results: Results, name: str) -> list[str]:
    """The questions of a set; none where they cannot be known yet."""
    questions = config.question_sets[name]
    file = _file(results, questions.source, questions.sha256)
    try:
        return [row["question"] for row in published_questions(file, questions.ids)] if file else []
    except InputError:
        return []


def _file(results: Results, source: str, sha256: str | None) -> Path | None:
    """A file with data that is there and that the workflow did not make."""
    path = results.download(sha256, file_name(source)) if sha256 else Path(source)
    return path if path.is_file() and not results.makes(source) else None


def _faults_of_checkpoints(config: Config, results: Results) -> Iterator[str]:
    """Of trained runs. A checkpoint whose folder is gone altogether was deleted to save space."""
    for run in config.expansion.runs:
        folder = results.run(run)
        if not folder.index.exists():
            continue
        try:
            for checkpoint in read_index(folder.index):
                if (folder.path / checkpoint.path).is_dir():
                    require_checkpoint(folder.path / checkpoint.path, folder.index)
        except InputError as error:
            yield str(error)
