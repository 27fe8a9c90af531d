# What every stage needs: the checked config, its runs, and the digests that make a stage re-run when its code changes.
import os
import re
import sys
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from snakemake.exceptions import WorkflowError

PROJECT = Path(str(workflow.current_basedir)).parents[1]  # of this file, also where the workflow is used as a module
SOURCE = PROJECT / "src"
# Jobs import the package from beside this workflow, also inside conda environments.
sys.path.insert(0, str(SOURCE))
PATHS = "PYTHONPATH"
os.environ.update(HF_HUB_OFFLINE="1")  # jobs read local folders; only scripts/fetch_model.py goes online
os.environ[PATHS] = os.pathsep.join([str(SOURCE), *filter(None, [os.environ.get(PATHS)])])

from emflow.allocator import KEEP_BUFFERS
from emflow.config import is_local, is_url, load_config
from emflow.files import InputError, digest_text, stamp
from emflow.judging.questions import published_questions

os.environ.update(KEEP_BUFFERS)

try:
    CONFIG = load_config(config)
except InputError as error:
    raise WorkflowError(str(error))

RUNS = CONFIG.expand()
RUN = "results/runs/{model}/{domain}/{method}/seed{seed}"
QUESTIONS_BY_JUDGE = [(q, j) for q in CONFIG.runs.question_sets for j in CONFIG.runs.judges]


wildcard_constraints:
    model=r"[^/]+",
    domain=r"[^/]+",
    method=r"[^/]+",
    seed=r"-?\d+",
    question_set=r"[^/.]+",
    judge=r"[^/.]+",
    # whoever answers: a run, or a base model
    owner=r"runs/[^/]+/[^/]+/[^/]+/seed-?\d+|base/[^/]+",


@cache
def code(script, *parts):
    """Digest of a script and of package files or folders: as a param it re-runs a stage whose code has changed."""
    found = [PROJECT / f"workflow/scripts/{script}.py", *(SOURCE / "emflow" / part for part in parts)]
    files = [f for p in found for f in ([p] if p.is_file() else sorted(p.rglob("*.*"))) if f.suffix in (".py", ".yaml")]
    return digest_text("".join(file.read_text() for file in files))[:16]


SNAPSHOTS = {"models": "results/base", "judges": "results/judges"}  # of what comes from a hub


def model_folder(name, section="models"):
    """Where the files of a model (or of a judge that is one) lie: its own folder, or the snapshot that is fetched."""
    model = getattr(CONFIG, section)[name]
    return model.path if model.is_local else f"{SNAPSHOTS[section]}/{name}/snapshot"


def is_grown(name, section="models"):
    """Whether `grow_base` makes the model."""
    return getattr(CONFIG, section)[name].path.startswith("results/tinyworld/models/")


def model_inputs(name, section="models"):
    """What a rule that loads a model reads. Folders have no digest in Snakemake, so `ancient` hides their dates ..."""
    digests = [f"{getattr(CONFIG, section)[name].path}.sha256"] if is_grown(name, section) else []
    return {"model": ancient(model_folder(name, section)), "model_sha256": digests}


@cache
def model_identity(name, section="models"):
    """... and this param tells one model from another, by its revision or by what its files hold."""
    model = getattr(CONFIG, section)[name]
    if not model.is_local:
        return [model.path, model.revision]
    return None if is_grown(name, section) else stamp(Path(model.path).expanduser())


def settings(section, *without):
    """A part of the config as plain values, for `params`."""
    return section.model_dump(mode="json", exclude=set(without))


def settings_of_run(wildcards):
    """A run's part of the config, for its provenance."""
    return {
        "model": settings(CONFIG.models[wildcards.model], "parameters"),
        "domain": settings(CONFIG.domains[wildcards.domain], "control_of"),
        "split": settings(CONFIG.split),
        "method": settings(CONFIG.methods[wildcards.method]),
        "question_sets": {name: sampling(name) for name in CONFIG.runs.question_sets},
        "engine": settings(CONFIG.engine),
        "judges": {name: settings(CONFIG.judges[name]) for name in CONFIG.runs.judges},
        "definitions": {name: settings(definition) for name, definition in CONFIG.definitions.items()},
    }


def download(url, sha256):
    """Where a file from the web lies once it is fetched."""
    return f"results/downloads/{sha256}/{Path(urlsplit(url).path).name or 'file'}"


def published_file(source, sha256):
    """Where a published file lies. Its digest pins a download for good: `ancient` lets nothing run again for its date."""
    return ancient(download(source, sha256)) if is_url(source) else source


def domain_file(name):
    return published_file(CONFIG.domains[name].path, CONFIG.domains[name].sha256)


def question_file(name):
    return published_file(CONFIG.question_sets[name].source, CONFIG.question_sets[name].sha256)


def sampling(question_set):
    return settings(CONFIG.question_sets[question_set], "source", "sha256", "ids")


def is_held_out(question_set):
    return CONFIG.question_sets[question_set].source == "validation"


def is_users(question_set):
    """Whether a set is a file that its user may edit, neither made by the workflow nor fetched."""
    source = CONFIG.question_sets[question_set].source
    return not (is_url(source) or source.startswith("results/"))


def questions_digest(question_set):
    """Of the questions alone: a file that cannot be read is left for the job to report."""
    try:
        return digest_text(str(published_questions(Path(question_file(question_set)))))
    except InputError:
        return None


def questions_for(question_set, domain):
    """Name of a set as it stands in file names under results/questions and results/base/*/generations."""
    return f"{question_set}/{domain}" if is_held_out(question_set) else question_set


def judge_kind(wildcards):
    return CONFIG.judges[wildcards.judge].kind


def judge_inputs(wildcards):
    """What a judge reads besides the answers, by its kind."""
    prompts = {"prompts": f"results/questions/{wildcards.questions.split('/')[0]}.prompts.json"}
    match judge_kind(wildcards):
        case "vllm":
            return {**prompts, **model_inputs(wildcards.judge, "judges")}
        case "openai":
            return prompts
        case "gold":
            return {"labels": CONFIG.judges[wildcards.judge].path}
        case _:
            return {}


def methods_of(*kinds):
    """What the wildcard {method} may be where only these kinds of training are meant."""
    names = [name for name, method in CONFIG.methods.items() if method.kind in kinds]
    return "|".join(map(re.escape, names)) or "(?!)"  # no such method: matches nothing


def es_start(w):
    """What an ES run starts from: the base model, or the checkpoints of another run, whose index holds their digests."""
    start = CONFIG.methods[w.method].init_from
    if start is None:
        return model_inputs(w.model)
    other = RUN.format(**{**w, "method": start.method})
    return {"model": ancient(f"{other}/checkpoints"), "model_sha256": f"{other}/checkpoints.json"}


def es_ranks(w):
    return CONFIG.methods[w.method].ranks


def reward_folder(method):
    """Where the model of an ES method's reward lies, as for `model_folder`; None where the reward asks none."""
    model = getattr(getattr(CONFIG.methods[method], "reward", None), "model", None)
    return model if model is None or is_local(model) else f"results/rewards/{method}/snapshot"


def es_reward_model(w):
    return list(filter(None, [reward_folder(w.method)]))


# How patiently a judge is asked (these keys) changes no score: the script reads it from the config, and nothing re-runs.
PATIENCE = ("concurrency", "timeout", "retries", "max_requests", "max_unjudged", "base_url", "api_key_env")

ASKING = ("judging/judge.py", "judging/asking.py", "judging/prompts.py", "judging/scores.py")
JUDGE_CODE = {
    "oracle": ("judging/judge.py", "tinyworld/oracle.py", "tinyworld/grammar.py", "tinyworld/world.yaml"),
    "gold": ("judging/judge.py", "judging/gold.py", "judging/scores.py"),
    "openai": (*ASKING, "judging/endpoint.py"),
    "vllm": (*ASKING, "judging/local.py"),
}
LOCAL_JUDGES = [name for name in CONFIG.runs.judges if CONFIG.judges[name].kind == "vllm"]
HUB_JUDGES = [name for name in LOCAL_JUDGES if not CONFIG.judges[name].is_local]

PINS = [(domain.path, domain.sha256) for domain in CONFIG.domains.values()]
PINS += [(questions.source, questions.sha256) for questions in CONFIG.question_sets.values()]
URLS = {download(url, sha256): url for url, sha256 in PINS if sha256}
FILES_OF_RUNS = {*map(domain_file, CONFIG.runs.domains), *map(question_file, CONFIG.runs.question_sets)}

# Checked here because Snakemake would silently go on with what an earlier path had led to.
for key, path in CONFIG.given_paths().items():
    if not Path(path).exists():
        raise WorkflowError(f"{key}: {path} does not exist")
HUB_REWARDS = [name for name in CONFIG.runs.methods if (reward_folder(name) or "").startswith("results/rewards/")]
