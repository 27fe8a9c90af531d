"""What a run's rank-1 adapters read in its answers."""

from pathlib import Path

from emflow.console import finished, stage

with stage(snakemake.log[0], snakemake.resources):
    import torch

    from emflow.directions.scalars import scalars
    from emflow.models.checkpoints import unchanged_checkpoints, unchanged_model

    torch.set_num_threads(snakemake.threads)
    run, given, how = snakemake.wildcards, snakemake.input, snakemake.params
    count = scalars(
        unchanged_model(Path(given.model), given.get("model_sha256", [])),
        how.dtype,
        how.template,
        (how.label, unchanged_checkpoints(Path(given.index))[how.label]),
        list(map(Path, given.judged)),
        how.batch_size,
        Path(snakemake.output.answers),
        Path(snakemake.output.tokens),
    )
    finished(f"{run.model}/{run.domain}/{run.method}/seed{run.seed}: {count} answers read")
