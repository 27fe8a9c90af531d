"""The report: words, tables and figures, from its numbers."""

from emflow.config.load import load_config
from emflow.console import finished, stage
from emflow.reporting.design import Design
from emflow.reporting.numbers import Numbers
from emflow.reporting.report import write_report

with stage(snakemake.log[0]):
    config = load_config(snakemake.config)
    out = config.results.report
    write_report(Numbers.read(out.numbers), Design.of(config), out, snakemake.threads)
    finished(f"report: {snakemake.output.summary}")
