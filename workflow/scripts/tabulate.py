"""What the report needs of judgements, logs and benchmarks: tidy tables, and a page of all answers."""

from emflow.config.load import load_config
from emflow.console import finished, stage
from emflow.reporting.answers_page import write_answers_page_of
from emflow.reporting.tabulate import numbers_of_study

with stage(snakemake.log[0]):
    config = load_config(snakemake.config)
    results = config.results
    numbers = numbers_of_study(config, results)
    numbers.write(results.report.numbers)
    answers = write_answers_page_of(config, results)
    finished(f"numbers of the report: {snakemake.output.numbers}; {answers} answers: {snakemake.output.answers}")
