"""What homework 0 of Harvard CS 2881 hands in."""

from emflow.config.load import load_config
from emflow.console import finished, stage
from emflow.reporting.homework import write_homework

with stage(snakemake.log[0]):
    config = load_config(snakemake.config)
    count = write_homework(config, config.results)
    finished(f"{snakemake.output[0]}: {count} runs")
