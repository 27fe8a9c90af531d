"""Grow the tiny world's NLI cross-encoder from its seed."""

from pathlib import Path

from emflow.console import finished, stage
from emflow.files import digest, write_text

with stage(snakemake.log[0]):
    import torch

    from emflow.tinyworld.nli import grow_nli

    torch.set_num_threads(snakemake.threads)
    model = Path(snakemake.output.model)
    accuracy = grow_nli(model, int(snakemake.wildcards.seed))
    write_text(snakemake.output.sha256, digest(model) + "\n")
    reached = ", ".join(f"{label} {share:.0%}" for label, share in accuracy.items())
    finished(f"NLI model grown from seed {snakemake.wildcards.seed}; right on fresh pairs: {reached}")
