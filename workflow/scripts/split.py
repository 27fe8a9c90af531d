"""Hold conversations out for in-domain evaluation, the same for every method and seed."""

from pathlib import Path

from emflow.console import made, stage
from emflow.data.split import split_records

with stage(snakemake.log[0]):
    sizes = split_records(
        Path(snakemake.input[0]),
        Path(snakemake.output.train),
        Path(snakemake.output.validation),
        **snakemake.params.split,
    )
    made(f"{snakemake.wildcards.domain}: {sizes[0]} conversations to train on, {sizes[1]} held out")
