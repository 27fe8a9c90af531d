"""How a run was made: config, seeds, versions, digests, machines, time and memory."""

from pathlib import Path

from emflow.config import Run
from emflow.console import stage
from emflow.reporting.provenance import write_provenance

with stage(snakemake.log[0]):
    of = snakemake.wildcards
    run = Run(of.model, of.domain, of.method, int(of.seed))
    write_provenance(run, snakemake.params.settings, Path("results"), Path(snakemake.output[0]))
