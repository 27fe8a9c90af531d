"""What rank-1 adapters read: probes on all of a run, and each alone."""

from pathlib import Path

from emflow.config.directions import Extraction, RankOneReading
from emflow.console import finished, stage

with stage(snakemake.log[0]):
    from emflow.analysis.rank_one import Sets, write_rank_one

    given, how, out = snakemake.input, snakemake.params, snakemake.output
    count = write_rank_one(
        list(map(Path, given.scalars)),
        Path(given.interventions),
        Extraction(**how.extraction),
        RankOneReading(**how.settings),
        Sets(*how.sets),
        how.definition,
        how.confidence,
        Path(out.probes),
        Path(out.adapters),
    )
    finished(f"{out.adapters}: {count} adapters")
