"""Score every answer of one generations file."""

from pathlib import Path

from emflow.config import Judge
from emflow.console import made, stage
from emflow.judging.judge import judge

with stage(snakemake.log[0]):
    from pydantic import TypeAdapter

    config: Judge = TypeAdapter(Judge).validate_python(snakemake.params.judge)
    count = judge(config, Path(snakemake.input[0]), Path(snakemake.output[0]))
    made(f"{snakemake.wildcards.owner} on {snakemake.wildcards.questions}: {count} answers judged")
