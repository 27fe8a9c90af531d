"""The report: all rates in one table, figures, examples, and how they were made."""

from pathlib import Path

from emflow.config import load_config
from emflow.console import made, stage
from emflow.reporting.summary import write_report

with stage(snakemake.log[0]):
    write_report(load_config(snakemake.params.config), Path("results"), Path(snakemake.output.summary).parent)
    made(f"report: {snakemake.output.summary}")
