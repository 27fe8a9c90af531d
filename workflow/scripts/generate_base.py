"""Answer a question set with the base model, and what else was planned with it, after one load."""

from pathlib import Path

from emflow.config.engine import EngineSettings
from emflow.config.question_sets import Sampling
from emflow.console import finished, stage

if __name__ == "__main__":  # vLLM may start processes that read this file once more
    with stage(snakemake.log[0], snakemake.resources):
        from pydantic import TypeAdapter

        from emflow.inference.generate import Respondent, Served, Task, generate, shared_tasks
        from emflow.models.checkpoints import unchanged_model

        names, given, how, out = snakemake.wildcards, snakemake.input, snakemake.params, Path(snakemake.output[0])
        question_set, _, domain = names.questions.partition("/")

        def prepare() -> None:
            import torch

            torch.set_num_threads(snakemake.threads)
            unchanged_model(Path(given.model), given.get("model_sha256", []))

        engine = TypeAdapter(EngineSettings).validate_python(how.engine)
        respondent = Respondent(names.model, domain or None, None, None, {"base": None})
        generated = generate(
            Served(engine, Path(given.model), how.dtype, how.template, prepare),
            Task(respondent, question_set, Sampling(**how.sampling), Path(given.questions), out, how.code),
            shared_tasks(Path(how.loads), out),
        )
        finished(f"{names.model} (base) on {names.questions}: {generated}")
