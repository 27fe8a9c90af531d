"""How alike the directions of runs are."""

from pathlib import Path

from emflow.config.expansion import Run
from emflow.console import finished, stage

with stage(snakemake.log[0]):
    from emflow.directions.compare import compare_directions

    runs = [Run(*run) for run in snakemake.params.runs]
    count = compare_directions(runs, list(map(Path, snakemake.input)), Path(snakemake.output[0]))
    finished(f"{snakemake.output[0]}: {count} cosines")
