"""Answer a question set with all checkpoints of a run after one load of the base model."""

from pathlib import Path

from emflow.config.engine import EngineSettings
from emflow.config.question_sets import Sampling
from emflow.console import finished, stage

with stage(snakemake.log[0]):
    import torch
    from pydantic import TypeAdapter

    from emflow.inference.generate import Respondent, generate
    from emflow.models.checkpoints import unchanged_checkpoints, unchanged_start

    torch.set_num_threads(snakemake.threads)
    run, given = snakemake.wildcards, snakemake.input
    generated = generate(
        TypeAdapter(EngineSettings).validate_python(snakemake.params.engine),
        unchanged_start(Path(given.model), given.get("model_sha256", []), snakemake.params.start),
        snakemake.params.dtype,
        Respondent(run.model, run.domain, run.method, int(run.seed), unchanged_checkpoints(Path(given.index))),
        run.question_set,
        Sampling(**snakemake.params.sampling),
        Path(given.questions),
        Path(snakemake.output[0]),
        snakemake.params.template,
    )
    finished(f"{run.model}/{run.domain}/{run.method}/seed{run.seed} on {run.question_set}: {generated}")
