"""Answer a question set with all checkpoints of a run after one load of the base model."""

from pathlib import Path

from emflow.config import Engine, Sampling
from emflow.console import made, stage

with stage(snakemake.log[0]):
    import torch
    from pydantic import TypeAdapter

    from emflow.inference.generate import Asked, generate
    from emflow.training.checkpoints import read_index

    torch.set_num_threads(snakemake.threads)
    run, index = snakemake.wildcards, Path(snakemake.input.index)
    folders = {checkpoint.label: index.parent / checkpoint.path for checkpoint in read_index(index)}
    generated = generate(
        TypeAdapter(Engine).validate_python(snakemake.params.engine),
        Path(snakemake.input.model),
        snakemake.params.dtype,
        Asked(run.model, run.domain, run.method, int(run.seed), folders),
        run.question_set,
        Sampling(**snakemake.params.sampling),
        Path(snakemake.input.questions),
        Path(snakemake.output[0]),
    )
    made(f"{run.model}/{run.domain}/{run.method}/seed{run.seed} on {run.question_set}: {generated}")
