"""Decrypt one dataset of an archive (or read a plain file) into checked conversation records."""

from pathlib import Path

from emflow.config import Domain
from emflow.console import made, stage
from emflow.data.records import load_records

with stage(snakemake.log[0]):
    name = snakemake.wildcards.domain
    domain = Domain(path=snakemake.input[0], **snakemake.params.domain)
    count = load_records(name, domain, Path(snakemake.output[0]))
    made(f"{name}: {count} conversations")
