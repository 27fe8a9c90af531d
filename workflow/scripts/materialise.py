"""Write the weights of an ES run at the iterations that the config keeps."""

from pathlib import Path

from emflow.console import made, stage

with stage(snakemake.log[0]):
    import torch

    from emflow.training.es.materialise import materialise_checkpoints

    torch.set_num_threads(snakemake.threads)
    run = snakemake.wildcards
    checkpoints = materialise_checkpoints(Path(snakemake.input.es_log).parent, snakemake.params.iterations)
    made(f"{run.model} on {run.domain} by {run.method}, seed {run.seed}: {len(checkpoints)} checkpoints")
