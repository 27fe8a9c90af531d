"""Grow the tiny world's base model from its seed."""

from pathlib import Path

from emflow.console import made, stage

with stage(snakemake.log[0]):
    import torch

    from emflow.tinyworld.base_model import grow

    torch.set_num_threads(snakemake.threads)
    grow(Path(snakemake.output[0]), int(snakemake.wildcards.seed))
    made(f"base model grown from seed {snakemake.wildcards.seed}: {snakemake.output[0]}")
