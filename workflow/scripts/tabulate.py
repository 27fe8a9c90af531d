"""What the report needs of judgements, logs and benchmarks: tidy tables, a page of all answers, how they were made."""

from emflow.config.load import load_config
from emflow.console import finished, stage
from emflow.reporting.answers_page import write_answers_page_of
from emflow.reporting.provenance import write_report_provenance
from emflow.reporting.tabulate import numbers_of_study

with stage(snakemake.log[0]):
    config = load_config(snakemake.config)
    results = config.results
    numbers = numbers_of_study(config, results)
    write_report_provenance(config, results, results.report.provenance)
    numbers.write(results.report.numbers)
    answers = write_answers_page_of(config, results)
    finished(f"numbers of the report: {snakemake.output.numbers}; {answers} answers: {snakemake.output.answers}")
