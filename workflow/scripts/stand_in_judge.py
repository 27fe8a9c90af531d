"""Make a tiny random judge, in place of a language model."""

from pathlib import Path

from emflow.console import finished, stage
from emflow.files import digest, write_text

with stage(snakemake.log[0]):
    from emflow.stand_ins.make import make_judge

    judge = Path(snakemake.output.model)
    make_judge(judge)
    write_text(snakemake.output.sha256, digest(judge) + "\n")
    finished(f"stand-in of a judge: {judge}")
