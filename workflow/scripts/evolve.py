"""Evolve the base model, or another run's checkpoint, on a domain's train split; the log is the run."""

from pathlib import Path

from emflow.config.es import Es
from emflow.console import finished, stage

with stage(snakemake.log[0], snakemake.resources):
    from emflow.models.checkpoints import unchanged_start
    from emflow.training.es.job import Job
    from emflow.training.es.launch import launch

    run, method = snakemake.wildcards, Es(**snakemake.config["methods"][snakemake.wildcards.method])
    given = snakemake.input
    start = unchanged_start(Path(given.model), given.get("model_sha256", []), snakemake.params.start)
    job = Job(
        start=start,
        model=run.model,
        chat_template_kwargs=snakemake.params.template,
        domain=run.domain,
        method=method,
        seed=int(run.seed),
        train=Path(snakemake.input.train),
        reward_model=Path(snakemake.input.reward[0]) if snakemake.input.reward else None,
        code=snakemake.params.code,
        out=Path(snakemake.output.es_log).parent,
    )
    launch(job, ranks=min(method.ranks, snakemake.threads))
    finished(f"{run.model} on {run.domain} by {run.method}, seed {run.seed}: {method.length} {method.unit}s")
