"""The report: words, tables and figures, from its numbers; and how all was made."""

from emflow.config.load import load_config
from emflow.console import finished, stage
from emflow.reporting.design import Design
from emflow.reporting.numbers import Numbers
from emflow.reporting.provenance import write_report_provenance
from emflow.reporting.report import write_report

with stage(snakemake.log[0]):
    config = load_config(snakemake.config)
    out = config.results.report
    write_report_provenance(config, config.results, out.provenance)
    write_report(Numbers.read(out.numbers), Design.of(config), out, snakemake.threads)
    finished(f"report: {snakemake.output.summary}")
