"""Bring the questions of a published set into the workflow's one form."""

from pathlib import Path

from emflow.console import made, stage
from emflow.judging.questions import prepare

with stage(snakemake.log[0]):
    count = prepare(Path(snakemake.input[0]), snakemake.params.ids, Path(snakemake.output[0]))
    made(f"{snakemake.wildcards.question_set}: {count} questions")
