"""A run's answers along its directions, and its prompts before and after fine-tuning."""

from pathlib import Path

from emflow.console import finished, stage

with stage(snakemake.log[0], snakemake.resources):
    import torch

    from emflow.directions.project import project
    from emflow.models.checkpoints import unchanged_checkpoints, unchanged_model
    from emflow.models.moments import read_moments

    torch.set_num_threads(snakemake.threads)
    run, given, how = snakemake.wildcards, snakemake.input, snakemake.params
    count = project(
        unchanged_model(Path(given.model), given.get("model_sha256", [])),
        how.dtype,
        how.template,
        unchanged_checkpoints(Path(given.index)),
        Path(given.judged),
        read_moments(Path(given.moments)),
        how.batch_size,
        Path(snakemake.output[0]),
    )
    finished(f"{run.model}/{run.domain}/{run.method}/seed{run.seed}: {count} answers read")
