"""Make a tiny random model of a family, in place of a published one."""

from pathlib import Path

from emflow.console import finished, stage
from emflow.files import digest, write_text

with stage(snakemake.log[0]):
    from emflow.stand_ins.make import make_model

    model = Path(snakemake.output.model)
    make_model(model, snakemake.wildcards.family, int(snakemake.wildcards.layers))
    write_text(snakemake.output.sha256, digest(model) + "\n")
    finished(f"stand-in of {snakemake.wildcards.layers} layers: {model}")
