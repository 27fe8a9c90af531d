# What every stage needs: the checked config, its runs, and the digests that make a stage re-run when its code changes.
import os
import sys
from functools import cache
from pathlib import Path

from snakemake.exceptions import WorkflowError

SOURCE = Path(workflow.basedir) / "src"
# Jobs import the package from beside this workflow, also inside conda environments.
sys.path.insert(0, str(SOURCE))
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(SOURCE), os.environ.get("PYTHONPATH")]))

from emflow.config import Run, is_local, load_config
from emflow.files import InputError, digest_text

try:
    CONFIG = load_config(config)
except InputError as error:
    raise WorkflowError(str(error))

RUNS = CONFIG.expand()
RUN = "results/runs/{model}/{domain}/{method}/seed{seed}"


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
