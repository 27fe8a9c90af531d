"""Answer a question set under an intervention."""

from pathlib import Path

from emflow.config.directions import Intervention
from emflow.config.question_sets import Sampling
from emflow.console import finished, stage

with stage(snakemake.log[0], snakemake.resources):
    import torch
    from pydantic import TypeAdapter

    from emflow.directions.intervene import Answering, QuestionsAsked, intervene
    from emflow.models.checkpoints import unchanged_checkpoints, unchanged_model

    torch.set_num_threads(snakemake.threads)
    names, given, how = snakemake.wildcards, snakemake.input, snakemake.params
    model, run, source = how.target
    domain, method, seed = run[1:] if run else (None, None, None)
    who = {"model": model, "domain": domain, "method": method, "seed": seed, "checkpoint": how.label}
    checkpoint = unchanged_checkpoints(Path(given.index))[how.label] if run else None
    base = unchanged_model(Path(given.model), given.get("model_sha256", []))
    choice, chosen_on = (Path(given[name]) if given.get(name) else None for name in ("choice", "chosen_on"))
    count = intervene(
        Answering(who, base, how.dtype, how.template, checkpoint, how.batch_size),
        (names.intervention, TypeAdapter(Intervention).validate_python(how.intervention)),
        ("/".join(map(str, source)), Path(given.direction)) if source else None,
        QuestionsAsked(names.question_set, Sampling(**how.sampling), Path(given.questions), chosen_on),
        choice,
        Path(snakemake.output[0]),
        how.code,
    )
    finished(f"{names.target} under {names.intervention} on {names.question_set}: {count} answers")
