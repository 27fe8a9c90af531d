"""Take the judge prompts out of a published question set."""

from pathlib import Path

from emflow.console import made, stage
from emflow.judging.questions import prepare_prompts

with stage(snakemake.log[0]):
    source = Path(snakemake.input[0]) if snakemake.input else None
    count = prepare_prompts(source, Path(snakemake.output[0]))
    made(f"{snakemake.wildcards.question_set}: {count} judge prompts")
