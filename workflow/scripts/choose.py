"""Choose layer and strength of an intervention."""

from pathlib import Path

from emflow.analysis.interventions import choose
from emflow.config.definitions import Definition
from emflow.console import finished, stage

with stage(snakemake.log[0]):
    how = snakemake.params
    files = Path(snakemake.input[0]), Path(snakemake.output[0])
    chosen = choose(files[0], Definition(**how.definition), how.least_coherent, files[1])
    finished(f"{snakemake.wildcards.target}, {snakemake.wildcards.intervention}: {chosen}")
