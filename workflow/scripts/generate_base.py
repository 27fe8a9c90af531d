"""Answer a question set with the base model."""

from pathlib import Path

from emflow.config.engine import EngineSettings
from emflow.config.question_sets import Sampling
from emflow.console import finished, stage

with stage(snakemake.log[0]):
    import torch
    from pydantic import TypeAdapter

    from emflow.inference.generate import Respondent, generate
    from emflow.models.checkpoints import unchanged_model

    torch.set_num_threads(snakemake.threads)
    given = snakemake.input
    model, (question_set, *domain) = snakemake.wildcards.model, snakemake.wildcards.questions.split("/")
    generated = generate(
        TypeAdapter(EngineSettings).validate_python(snakemake.params.engine),
        unchanged_model(Path(given.model), given.get("model_sha256", [])),
        snakemake.params.dtype,
        Respondent(model, domain[0] if domain else None, None, None, {"base": None}),
        question_set,
        Sampling(**snakemake.params.sampling),
        Path(given.questions),
        Path(snakemake.output[0]),
        snakemake.params.template,
    )
    finished(f"{model} (base) on {snakemake.wildcards.questions}: {generated}")
