"""Grow the tiny world's base model from its seed."""

from pathlib import Path

from emflow.console import finished, stage
from emflow.files import digest, write_text

with stage(snakemake.log[0]):
    import torch

    from emflow.tinyworld.base_model import grow

    torch.set_num_threads(snakemake.threads)
    model = Path(snakemake.output.model)
    grow(model, int(snakemake.wildcards.seed))
    write_text(snakemake.output.sha256, digest(model) + "\n")
    finished(f"base model grown from seed {snakemake.wildcards.seed}: {model}")
