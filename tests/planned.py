"""The jobs that configs lead to: `python tests/planned.py STUDY.json ...` plans each overlay of the default config.

Snakemake's own objects say more than its dry run prints. They live in a process of their own, since planning leaves
its traces in a process.
"""

import json
import os
import pickle
import pickletools
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def planned(folder: Path, *overlays: dict) -> list[list[dict[str, Any]]]:
    """For each overlay all jobs of a run from nothing in `folder`, with rule, params, resources, environment, files."""
    files = []
    for number, overlay in enumerate(overlays):
        files.append(folder / f"planned{number}.json")
        files[-1].write_text(json.dumps(overlay))
    command = [sys.executable, __file__, *map(str, files)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-5000:]
    return json.loads(done.stdout)


def _modules(value: object) -> list[str]:
    """The package's modules without which a script could not read a value that is handed to it."""
    words = (word for _, word, _ in pickletools.genops(pickle.dumps(value)) if isinstance(word, str))
    return sorted({word for word in words if re.fullmatch(r"emflow(\.\w+)+", word)})


def _plan(overlay: Path) -> list[dict[str, Any]]:
    from snakemake.api import SnakemakeApi
    from snakemake.settings.types import ConfigSettings, DAGSettings, OutputSettings, Quietness, ResourceSettings

    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL}, dryrun=True)) as api:
        workflow = api.workflow(
            resource_settings=ResourceSettings(cores=64),
            config_settings=ConfigSettings(configfiles=[ROOT / "config/config.yaml", overlay]),
            snakefile=ROOT / "Snakefile",
            workdir=Path.cwd(),
        )
        workflow.dag(DAGSettings(forceall=True))
        planner = workflow._workflow
        planner._prepare_dag(forceall=True, ignore_incomplete=True, lock_warn_only=True)
        planner._build_dag()
        return [
            {
                "rule": job.rule.name,
                "script": job.rule.script,
                "wildcards": job.wildcards_dict,
                "params": json.loads(json.dumps(dict(job.params.items()), default=str)),
                "pickled": _modules(dict(job.params.items())),
                "gpus": int(job.resources.get("gpu", 0)),
                "environment": os.path.basename(str(job.conda_env_spec.file)) if job.conda_env_spec else None,
                "input": sorted(map(str, job.input)),
                "output": sorted(map(str, job.output)),
                "benchmark": job.benchmark and str(job.benchmark),
            }
            for job in planner.dag.jobs
        ]


if __name__ == "__main__":
    print(json.dumps([_plan(Path(name).resolve()) for name in sys.argv[1:]]))
