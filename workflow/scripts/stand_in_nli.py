"""Make a tiny random NLI cross-encoder, in place of a published one."""

from pathlib import Path

from emflow.console import finished, stage
from emflow.files import digest, write_text

with stage(snakemake.log[0]):
    from emflow.stand_ins.make import make_nli

    model = Path(snakemake.output.model)
    make_nli(model)
    write_text(snakemake.output.sha256, digest(model) + "\n")
    finished(f"stand-in of an NLI model: {model}")
