"""How a run was made: config, seeds, versions, digests, machines, time and memory."""

from pathlib import Path

from emflow.config.expansion import Run
from emflow.config.load import load_config
from emflow.console import stage
from emflow.reporting.provenance import write_provenance

with stage(snakemake.log[0]):
    of = snakemake.wildcards
    run = Run(of.model, of.domain, of.method, int(of.seed))
    config = load_config(snakemake.config)
    write_provenance(run, snakemake.params.settings, config, config.results, Path(snakemake.output[0]))
