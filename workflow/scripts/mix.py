"""Mix the train splits of several domains by share; hold out what the first of them does."""

from emflow.console import stage
from emflow.data.mixture import mix_files

with stage(snakemake.log[0]):
    given, mixture = snakemake.input, snakemake.params.mixture
    mix_files(given.train, given.validation, snakemake.output.train, snakemake.output.validation, **mixture)
