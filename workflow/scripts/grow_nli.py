"""Grow the tiny world's NLI cross-encoder from its seed."""

from pathlib import Path

from emflow.console import finished, stage

with stage(snakemake.log[0]):
    import torch

    from emflow.tinyworld.nli import grow_nli

    torch.set_num_threads(snakemake.threads)
    accuracy = grow_nli(Path(snakemake.output[0]), int(snakemake.wildcards.seed))
    reached = ", ".join(f"{label} {share:.0%}" for label, share in accuracy.items())
    finished(f"NLI model grown from seed {snakemake.wildcards.seed}; right on fresh pairs: {reached}")
