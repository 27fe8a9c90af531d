"""The direction of a run, and how far it can be trusted."""

from pathlib import Path

from emflow.console import finished, stage

with stage(snakemake.log[0]):
    from emflow.directions.estimate import write_estimate
    from emflow.models.moments import read_moments

    run, out = snakemake.wildcards, snakemake.output
    write_estimate(run.direction, read_moments(Path(snakemake.input[0])), Path(out.direction), Path(out.trust))
    finished(f"{run.model}/{run.domain}/{run.method}/seed{run.seed}: {run.direction}")
