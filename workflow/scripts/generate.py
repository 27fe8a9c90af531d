"""Answer a question set with all checkpoints of a run, and what was planned with it, after one load of the model."""

from pathlib import Path

from emflow.config.engine import EngineSettings
from emflow.config.question_sets import Sampling
from emflow.console import finished, stage

if __name__ == "__main__":  # vLLM may start processes that read this file once more
    with stage(snakemake.log[0], snakemake.resources):
        from pydantic import TypeAdapter

        from emflow.inference.generate import Respondent, Served, Task, generate, shared_tasks
        from emflow.models.checkpoints import checkpoint_folders, start_folder, unchanged_start

        run, given, how, out = snakemake.wildcards, snakemake.input, snakemake.params, Path(snakemake.output[0])
        model, index = (Path(given.model), given.get("model_sha256", []), how.start), Path(given.index)

        def prepare() -> None:
            import torch

            torch.set_num_threads(snakemake.threads)
            unchanged_start(*model)

        engine = TypeAdapter(EngineSettings).validate_python(how.engine)
        respondent = Respondent(run.model, run.domain, run.method, int(run.seed), {**checkpoint_folders(index)}, index)
        generated = generate(
            Served(engine, start_folder(*model), how.dtype, how.template, prepare),
            Task(respondent, run.question_set, Sampling(**how.sampling), Path(given.questions), out, how.code),
            shared_tasks(Path(how.loads), out),
        )
        finished(f"{run.model}/{run.domain}/{run.method}/seed{run.seed} on {run.question_set}: {generated}")
