"""The paths of rank-1 adapters over training, and EM with them scaled."""

from pathlib import Path

from emflow.config.definitions import Definition
from emflow.config.expansion import Run
from emflow.console import finished, stage

with stage(snakemake.log[0]):
    from emflow.analysis.transition import PathFiles, write_scaled_rates, write_trajectories

    given, how, out = snakemake.input, snakemake.params, snakemake.output
    names = ("index", "log", "judged", "scaled_index", "scaled")
    files = zip(*(map(Path, given[name]) for name in names), strict=True)
    runs = {Run(*run): PathFiles(*of_run) for run, of_run in zip(how.runs, files, strict=True)}
    checkpoints = write_trajectories(runs, how.window, how.threshold, Path(out.trajectory))
    definitions = {name: Definition(**definition) for name, definition in how.definitions.items()}
    write_scaled_rates(runs, definitions, how.confidence, Path(out.scaled_rates))
    finished(f"{out.trajectory}: {checkpoints} checkpoints of {len(runs)} runs")
