"""Write the weights of an ES run after the epochs or iterations that the config keeps."""

from pathlib import Path

from emflow.console import finished, stage

with stage(snakemake.log[0], snakemake.resources):
    import torch

    from emflow.training.es.materialise import materialise_checkpoints

    torch.set_num_threads(snakemake.threads)
    run = snakemake.wildcards
    folder, of = Path(snakemake.input.es_log).parent, {"model": run.model, "domain": run.domain, "seed": int(run.seed)}
    checkpoints = materialise_checkpoints(folder, snakemake.params.kept, of)
    finished(f"{run.model} on {run.domain} by {run.method}, seed {run.seed}: {len(checkpoints)} checkpoints")
