"""Fine-tune the base model on a domain's train split; keep the checkpoints that the config names."""

from pathlib import Path

from emflow.config import Finetune, Method
from emflow.console import made, stage

with stage(snakemake.log[0]):
    import torch
    from pydantic import TypeAdapter

    from emflow.training.finetune import Start, finetune

    torch.set_num_threads(snakemake.threads)
    run, out = snakemake.wildcards, Path(snakemake.output.index).parent
    start = Start(Path(snakemake.input.model), run.model, snakemake.params.dtype)
    method: Finetune = TypeAdapter(Method).validate_python(snakemake.params.method)
    checkpoints = finetune(start, run.domain, method, int(run.seed), Path(snakemake.input.train), out)
    made(f"{run.model} on {run.domain} by {run.method}, seed {run.seed}: {len(checkpoints)} checkpoints")
