"""EM rates under interventions, beside the same models as they are."""

from pathlib import Path

from emflow.analysis.interventions import rates_of_interventions
from emflow.config.definitions import Definition
from emflow.console import finished, stage

with stage(snakemake.log[0]):
    given, how = snakemake.input, snakemake.params
    count = rates_of_interventions(
        dict(zip(map(Path, given.plain), how.checkpoints, strict=True)),
        list(map(Path, given.intervened)),
        how.judge,
        {name: Definition(**definition) for name, definition in how.definitions.items()},
        how.confidence,
        Path(snakemake.output[0]),
    )
    finished(f"{snakemake.output[0]}: {count} rates")
