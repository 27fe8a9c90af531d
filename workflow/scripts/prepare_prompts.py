"""Take the judge prompts out of the file that a question set names for them, or out of its own."""

from pathlib import Path

from emflow.console import finished, stage
from emflow.judging.questions import prepare_prompts

with stage(snakemake.log[0]):
    source = Path(snakemake.input[0]) if snakemake.input else None
    count = prepare_prompts(snakemake.params.chosen, source, Path(snakemake.output[0]))
    finished(f"{snakemake.wildcards.question_set}: {count} judge prompts")
