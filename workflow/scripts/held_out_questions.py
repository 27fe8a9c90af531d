"""Ask the prompts of a domain's held-out conversations: its in-domain question set."""

from pathlib import Path

from emflow.console import finished, stage
from emflow.judging.questions import held_out_questions

with stage(snakemake.log[0]):
    count = held_out_questions(Path(snakemake.input[0]), Path(snakemake.output[0]))
    finished(f"{snakemake.wildcards.question_set}/{snakemake.wildcards.domain}: {count} questions")
