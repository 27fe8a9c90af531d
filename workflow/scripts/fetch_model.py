"""Fetch a base model from its hub, at its pinned revision."""

import os
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "0"  # 1 in all other jobs

from emflow.console import finished, stage
from emflow.fetch import fetch_model

with stage(snakemake.log[0]):
    commit = fetch_model(snakemake.params.path, snakemake.params.revision, Path(snakemake.output[0]))
    finished(f"fetched {snakemake.params.path} at {commit}")
