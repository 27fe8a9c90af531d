"""Fine-tune the base model on a domain's train split; keep the checkpoints that the config names."""

from pathlib import Path

from emflow.config.finetune import Finetune, FinetuneMethod
from emflow.console import finished, stage

with stage(snakemake.log[0], snakemake.resources):
    from pydantic import TypeAdapter

    from emflow.models.checkpoints import unchanged_start
    from emflow.training.finetune import Start
    from emflow.training.job import FinetuneJob
    from emflow.training.launch import launch

    run, given = snakemake.wildcards, snakemake.input
    base = unchanged_start(Path(given.model), given.get("model_sha256", []), snakemake.params.start)
    method: Finetune = TypeAdapter(FinetuneMethod).validate_python(snakemake.config["methods"][run.method])
    job = FinetuneJob(
        start=Start(base, run.model, snakemake.params.dtype, snakemake.params.template),
        domain=run.domain,
        method=method,
        seed=int(run.seed),
        train=Path(given.train),
        kl=Path(given.kl[0]) if given.kl else None,
        code=snakemake.params.code,
        out=Path(snakemake.output.index).parent,
    )
    checkpoints = launch(job, snakemake.threads)
    finished(f"{run.model} on {run.domain} by {run.method}, seed {run.seed}: {len(checkpoints)} checkpoints")
