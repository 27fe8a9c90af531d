"""How far answers along the directions of runs tell misaligned ones."""

from pathlib import Path

from emflow.config.definitions import Definition
from emflow.config.directions import Extraction
from emflow.console import finished, stage

with stage(snakemake.log[0]):
    from emflow.analysis.projections import write_projections

    how, files = snakemake.params, list(map(Path, snakemake.input))
    count = write_projections(
        files, Extraction(**how.extraction), Definition(**how.definition), how.confidence, Path(snakemake.output[0])
    )
    finished(f"{snakemake.output[0]}: {count} rows of {len(files)} runs")
