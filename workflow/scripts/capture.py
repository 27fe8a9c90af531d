"""A run and its base read the run's answers: means of their activations."""

from pathlib import Path

from emflow.config.directions import Extraction
from emflow.console import finished, stage

with stage(snakemake.log[0], snakemake.resources):
    import torch

    from emflow.directions.capture import capture
    from emflow.models.checkpoints import unchanged_checkpoints, unchanged_model

    torch.set_num_threads(snakemake.threads)
    run, given, how = snakemake.wildcards, snakemake.input, snakemake.params
    count = capture(
        unchanged_model(Path(given.model), given.get("model_sha256", [])),
        how.dtype,
        how.template,
        (how.label, unchanged_checkpoints(Path(given.index))[how.label]),
        (Path(given.run), Path(given.base)),
        Extraction(**how.extraction),
        how.batch_size,
        Path(snakemake.output[0]),
    )
    finished(f"{run.model}/{run.domain}/{run.method}/seed{run.seed}: {count} answers read")
