# What others publish is fetched once, on the machine that has a network; jobs then read local files and folders.
from urllib.parse import urlsplit

from emflow.config import is_url


def download(url, sha256):
    return f"results/downloads/{sha256}/{Path(urlsplit(url).path).name or 'file'}"


def published_file(source, sha256):
    """Where a published file lies. Its digest pins a download for good: `ancient` lets nothing run again for its date."""
    return ancient(download(source, sha256)) if is_url(source) else source


def domain_file(name):
    return published_file(CONFIG.domains[name].path, CONFIG.domains[name].sha256)


def question_file(name):
    return published_file(CONFIG.question_sets[name].source, CONFIG.question_sets[name].sha256)


PINS = [(domain.path, domain.sha256) for domain in CONFIG.domains.values()]
PINS += [(questions.source, questions.sha256) for questions in CONFIG.question_sets.values()]
URLS = {download(url, sha256): url for url, sha256 in PINS if sha256}
FILES_OF_RUNS = {*map(domain_file, CONFIG.runs.domains), *map(question_file, CONFIG.runs.question_sets)}


rule fetch_model:
    output:
        directory("results/base/{model}/snapshot"),
    log:
        "results/logs/fetch_model/{model}.log",
    conda:
        "../../envs/cpu.yaml"
    params:
        path=lambda w: CONFIG.models[w.model].path,
        revision=lambda w: CONFIG.models[w.model].revision,
    script:
        "../scripts/fetch_model.py"


rule fetch_file:
    output:
        "results/downloads/{sha256}/{file}",
    log:
        "results/logs/fetch_file/{sha256}/{file}.log",
    conda:
        "../../envs/cpu.yaml"
    params:
        url=lambda w, output: URLS[output[0]],
    script:
        "../scripts/fetch_file.py"
