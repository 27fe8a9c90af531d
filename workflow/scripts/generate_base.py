"""Answer a question set with the base model."""

from pathlib import Path

from emflow.config import Engine, Sampling
from emflow.console import made, stage

with stage(snakemake.log[0]):
    import torch
    from pydantic import TypeAdapter

    from emflow.inference.generate import Asked, generate

    torch.set_num_threads(snakemake.threads)
    model, (question_set, *domain) = snakemake.wildcards.model, snakemake.wildcards.questions.split("/")
    generated = generate(
        TypeAdapter(Engine).validate_python(snakemake.params.engine),
        Path(snakemake.input.model),
        snakemake.params.dtype,
        Asked(model, domain[0] if domain else None, None, None, {"base": None}),
        question_set,
        Sampling(**snakemake.params.sampling),
        Path(snakemake.input.questions),
        Path(snakemake.output[0]),
    )
    made(f"{model} (base) on {snakemake.wildcards.questions}: {generated}")
