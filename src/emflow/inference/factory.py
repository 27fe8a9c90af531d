"""Makes the engine that the config names."""

from collections.abc import Sequence
from pathlib import Path

from emflow.config.engine import EngineSettings
from emflow.inference.engine import Engine
from emflow.models.chat_template import TemplateArguments

__all__ = ["make_engine"]


def make_engine(
    settings: EngineSettings,
    base: Path,
    dtype: str,
    checkpoints: Sequence[Path] = (),
    template: TemplateArguments | None = None,
) -> Engine:
    """Load the base model into the engine, ready to serve these checkpoints, too; `template`: arguments of its own.

    Raises InputError without a model, or without the engine's package.
    """
    match settings.kind:
        case "vllm":
            from emflow.inference.vllm_engine import VllmEngine

            return VllmEngine(base, dtype, settings, checkpoints, template)
        case "transformers":
            from emflow.inference.transformers_engine import TransformersEngine

            return TransformersEngine(base, dtype, settings.batch_size, template)
