"""Put the adapter of a checkpoint into the weights that it was trained on, for another run to start from."""

from pathlib import Path

from emflow.console import finished, stage
from emflow.files import digest, write_text

with stage(snakemake.log[0]):
    import torch

    from emflow.models.checkpoints import unchanged_checkpoints, unchanged_start
    from emflow.models.merge import merge

    torch.set_num_threads(snakemake.threads)
    given, how, out = snakemake.input, snakemake.params, Path(snakemake.output.model)
    base = unchanged_start(Path(given.model), given.get("model_sha256", []), how.start)
    merge(base, unchanged_checkpoints(Path(given.index))[snakemake.wildcards.checkpoint], how.dtype, how.template, out)
    write_text(snakemake.output.sha256, digest(out) + "\n")
    finished(f"a model to start from: {out}")
