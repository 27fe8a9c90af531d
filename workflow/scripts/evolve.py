"""Evolve the base model, or another run's checkpoint, on a domain's train split; the log is the run."""

from pathlib import Path

from emflow.config import Es
from emflow.console import made, stage

with stage(snakemake.log[0]):
    from emflow.training.es.launch import launch

    run, method = snakemake.wildcards, Es(**snakemake.params.method)
    start = Path(snakemake.input.model) / (method.init_from.checkpoint if method.init_from else "")
    out = Path(snakemake.output.es_log).parent
    launch(snakemake.threads, start, run.model, run.domain, method, int(run.seed), Path(snakemake.input.train), out)
    made(f"{run.model} on {run.domain} by {run.method}, seed {run.seed}: {method.iterations} iterations")
