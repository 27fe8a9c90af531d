"""Hold conversations out for in-domain evaluation, the same for every method and seed."""

from emflow.console import stage
from emflow.data.split import split_file

with stage(snakemake.log[0]):
    split_file(snakemake.input[0], snakemake.output.train, snakemake.output.validation, **snakemake.params.split)
