"""Export a checkpoint's answers as `model_generations.csv`."""

from pathlib import Path

from emflow.console import finished, stage
from emflow.formats.homework import export_answers

with stage(snakemake.log[0]):
    out = Path(snakemake.output[0])
    count = export_answers(Path(snakemake.input[0]), snakemake.wildcards.checkpoint, out)
    finished(f"{out}: {count} answers")
