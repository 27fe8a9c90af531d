"""Publish the tiny world's datasets as an encrypted archive, and its out-of-domain questions."""

from pathlib import Path

from emflow.console import finished, stage
from emflow.tinyworld.artefacts import publish

with stage(snakemake.log[0]):
    publish(
        Path(snakemake.output.archive),
        Path(snakemake.output.questions),
        snakemake.params.password,
        snakemake.params.conversations,
        snakemake.params.questions,
    )
    finished("tiny world: datasets encrypted, out-of-domain questions written")
