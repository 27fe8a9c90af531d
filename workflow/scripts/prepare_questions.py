"""Bring the questions of a published set into the workflow's one form."""

from pathlib import Path

from emflow.console import finished, stage
from emflow.judging.questions import prepare

with stage(snakemake.log[0]):
    given = snakemake.params
    count = prepare(Path(snakemake.input[0]), given.ids, Path(snakemake.output[0]), given.part)
    finished(f"{snakemake.wildcards.question_set}: {count} questions")
