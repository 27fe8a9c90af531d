"""Make a tiny random NLI cross-encoder, in place of a published one."""

from pathlib import Path

from emflow.console import finished, stage

with stage(snakemake.log[0]):
    from emflow.stand_ins.make import make_nli

    make_nli(Path(snakemake.output[0]))
    finished(f"stand-in of an NLI model: {snakemake.output[0]}")
