# What every stage needs: the checked config, its runs, the paths, and the digests of code that make a stage run again.
import os
import sys
from functools import cache, reduce
from pathlib import Path

from snakemake.common.configfile import load_configfile
from snakemake.exceptions import WorkflowError

PROJECT = Path(str(workflow.current_basedir)).parents[1]  # of this file, also where the workflow is used as a module
SOURCE = PROJECT / "src"
# Jobs import the package from beside this workflow, also inside conda environments.
sys.path.insert(0, str(SOURCE))
PATHS = "PYTHONPATH"
os.environ.update(HF_HUB_OFFLINE="1")  # jobs read local folders; only scripts/fetch_model.py goes online
os.environ[PATHS] = os.pathsep.join([str(SOURCE), *filter(None, [os.environ.get(PATHS)])])

from emflow.native import NATIVE
from emflow.config.expansion import Run
from emflow.config.load import load_config
from emflow.config.merge import merged
from emflow.config.read import read_config
from emflow.files import InputError
from emflow.fingerprint import code_digest

for variable, setting in NATIVE.items():
    os.environ.setdefault(variable, setting)


def layers():
    """The default config, and what the command line puts on it. Snakemake merges them, too, but knows of no kinds."""
    if sum(word.split("=")[0] in ("--configfile", "--configfiles") for word in sys.argv) > 1:
        raise WorkflowError("Snakemake reads the last --configfile alone: name all files after one, --configfile A B")
    given = workflow.config_settings
    own = [] if given.replace_workflow_config else workflow.configfiles[len(given.configfiles) :]
    files = [*own, *given.configfiles]
    for file in filter(is_yaml, files):
        read_config(Path(file))  # which refuses a key that stands twice; Snakemake keeps the last
    return [*map(load_configfile, files), given.config]


def is_yaml(file):
    return Path(file).suffix in (".yaml", ".yml")


try:
    if not workflow.modifier.skip_configfile:  # else this is a module, whose user has made the config
        whole = reduce(merged, layers())
        config.clear()
        config.update(whole)
    CONFIG = load_config(config)
except InputError as error:
    raise WorkflowError(str(error))
if CONFIG.stand_ins:
    config.update(CONFIG.model_dump(mode="json"))  # scripts see the stand-ins, too

STUDY = CONFIG.expansion
RESULTS = CONFIG.results
RUN = RESULTS.run(("{model}", "{domain}", "{method}", "{seed}"))
RUN_JOB = Path("{model}/{domain}/{method}/seed{seed}")  # names a run's jobs in the paths of logs and benchmarks
ANSWERER = RESULTS.answerer("{owner}")
TARGETS = r"runs/[^/]+/[^/]+/[^/]+/seed\d+|base/[^/]+"  # a run, or a base model


wildcard_constraints:
    model=r"[^/]+",
    domain=r"[^/]+",
    method=r"[^/]+",
    seed=r"\d+",
    question_set=r"[^/.]+",
    judge=r"[^/.]+",
    # whoever answers: one of these, as it is or changed
    owner=rf"({TARGETS})({RESULTS.changed})?",


@cache
def digest_of(script, kinds):
    return code_digest(PROJECT / f"workflow/scripts/{script}.py", SOURCE / "emflow", kinds)


def kinds_of(section, *parts):
    return tuple(getattr(section, part).kind for part in parts)


def code(script, kinds=lambda wildcards: ()):
    """Digest of a script and all that it runs: as a param it re-runs a stage whose code has changed.

    `kinds` gives those that the config picks for a job, of a method, a reward, an engine or a judge. Taken for the jobs
    that are planned alone: each job reads the workflow anew.
    """
    return lambda wildcards: digest_of(script, tuple(kinds(wildcards)))
