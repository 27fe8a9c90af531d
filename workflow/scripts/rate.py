"""EM rates of a run's checkpoints and its base, with intervals."""

from pathlib import Path

from emflow.analysis.rates import rates_of_run
from emflow.config.definitions import Definition
from emflow.config.report import Report
from emflow.console import finished, stage

with stage(snakemake.log[0]):
    given, run = snakemake.params, snakemake.wildcards
    files = zip(given.questions_by_judge, snakemake.input.base, snakemake.input.run, strict=True)
    count = rates_of_run(
        {"model": run.model, "domain": run.domain, "method": run.method, "seed": int(run.seed)},
        {tuple(key): [Path(base), Path(own)] for key, base, own in files},
        Path(snakemake.input.index),
        {name: Definition(**definition) for name, definition in given.definitions.items()},
        Report(**given.report),
        Path(snakemake.output[0]),
    )
    finished(f"{run.model}/{run.domain}/{run.method}/seed{run.seed}: {count} EM rates")
