# What every stage needs: the checked config, its runs, and the digests that make a stage re-run when its code changes.
import os
import sys
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from snakemake.exceptions import WorkflowError

SOURCE = Path(workflow.basedir) / "src"
# Jobs import the package from beside this workflow, also inside conda environments.
sys.path.insert(0, str(SOURCE))
PATHS = "PYTHONPATH"
os.environ[PATHS] = os.pathsep.join([str(SOURCE), *filter(None, [os.environ.get(PATHS)])])

from emflow.config import is_local, is_url, load_config
from emflow.files import InputError, digest_text
from emflow.judging.questions import published_questions

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
def code(*parts):
    """Digest of package files or folders under src/emflow: as a param it re-runs a stage whose code has changed."""
    found = [SOURCE / "emflow" / part for part in parts]
    files = [f for p in found for f in ([p] if p.is_file() else sorted(p.rglob("*.*"))) if f.suffix in (".py", ".yaml")]
    return digest_text("".join(file.read_text() for file in files))[:16]


def model_folder(name):
    """Where a base model's files lie: its own folder, or the snapshot that `fetch_model` makes."""
    model = CONFIG.models[name]
    return model.path if model.is_local else f"results/base/{name}/snapshot"


def settings(section, *without):
    """A part of the config as plain values, for `params`."""
    return section.model_dump(mode="json", exclude=set(without))


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


def is_hub_judge(judge):
    return judge.kind == "vllm" and not is_local(judge.path)


def judge_folder(name):
    """Where a local judge's files lie: its own folder, or the snapshot that `fetch_judge` makes."""
    judge = CONFIG.judges[name]
    return judge.path if is_local(judge.path) else f"results/judges/{name}/snapshot"


def judges_model(wildcards):
    return judge_folder(wildcards.judge) if CONFIG.judges[wildcards.judge].kind == "vllm" else []


def judges_prompts(wildcards):
    asks = CONFIG.judges[wildcards.judge].kind in ("openai", "vllm")
    return f"results/questions/{wildcards.questions.split('/')[0]}.prompts.json" if asks else []


def judges_labels(wildcards):
    judge = CONFIG.judges[wildcards.judge]
    return judge.path if judge.kind == "gold" else []


# How patiently a judge is asked (these keys) changes no score: the script reads it from the config, and nothing re-runs.
PATIENCE = ("concurrency", "timeout", "retries", "max_requests", "max_unjudged", "base_url", "api_key_env")

ASKING = ("judging/judge.py", "judging/asking.py", "judging/prompts.py", "judging/scores.py")
JUDGE_CODE = {
    "oracle": ("judging/judge.py", "tinyworld"),
    "gold": ("judging/judge.py", "judging/gold.py", "judging/scores.py"),
    "openai": (*ASKING, "judging/endpoint.py"),
    "vllm": (*ASKING, "judging/local.py"),
}
PINS = [(domain.path, domain.sha256) for domain in CONFIG.domains.values()]
PINS += [(questions.source, questions.sha256) for questions in CONFIG.question_sets.values()]
URLS = {download(url, sha256): url for url, sha256 in PINS if sha256}
FILES_OF_RUNS = {*map(domain_file, CONFIG.runs.domains), *map(question_file, CONFIG.runs.question_sets)}
