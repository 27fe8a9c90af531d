"""Evolve the base model, or another run's checkpoint, on a domain's train split; the log is the run."""

from pathlib import Path

from emflow.config import Es
from emflow.console import made, stage

with stage(snakemake.log[0]):
    from emflow.training.es.job import Job
    from emflow.training.es.launch import launch

    run, method = snakemake.wildcards, Es(**snakemake.params.method)
    start = Path(snakemake.input.model)
    job = Job(
        start=start / method.init_from.checkpoint if method.init_from else start,
        model=run.model,
        domain=run.domain,
        method=method,
        seed=int(run.seed),
        train=Path(snakemake.input.train),
        reward_model=Path(snakemake.input.reward[0]) if snakemake.input.reward else None,
        out=Path(snakemake.output.es_log).parent,
    )
    launch(job, ranks=snakemake.threads)
    made(f"{run.model} on {run.domain} by {run.method}, seed {run.seed}: {method.iterations} iterations")
