"""Checkpoints of a rank-1 run with their adapters scaled."""

from pathlib import Path

from emflow.console import finished, stage

with stage(snakemake.log[0], snakemake.resources):
    import torch

    from emflow.models.checkpoints import unchanged_start
    from emflow.models.scaled import scale_adapters
    from emflow.paths import ScaledFolder

    torch.set_num_threads(snakemake.threads)
    run, given, how = snakemake.wildcards, snakemake.input, snakemake.params
    scaled = scale_adapters(
        unchanged_start(Path(given.model), given.get("model_sha256", []), how.start),
        how.dtype,
        Path(given.index),
        how.steps,
        how.scales,
        ScaledFolder(Path(snakemake.output.index).parent),
    )
    finished(f"{run.model}/{run.domain}/{run.method}/seed{run.seed}: {len(scaled)} scaled adapters")
