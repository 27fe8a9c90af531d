"""Fetch a published file, checked against its pinned digest."""

from pathlib import Path

from emflow.console import finished, stage
from emflow.fetch import fetch_file

with stage(snakemake.log[0]):
    size = fetch_file(snakemake.params.url, snakemake.wildcards.sha256, Path(snakemake.output[0]))
    finished(f"fetched {snakemake.params.url} ({size:,} bytes)")
