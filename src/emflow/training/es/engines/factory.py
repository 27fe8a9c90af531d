"""Makes the engine that an ES method names."""

from pathlib import Path
from typing import TYPE_CHECKING

from emflow.config.es import Es
from emflow.models.chat_template import TemplateArguments, drop_template
from emflow.models.loading import end_tokens
from emflow.training.es.engines.es_engine import EsEngine

if TYPE_CHECKING:
    from emflow.training.es.engines.transformers_es import TransformersEs
    from emflow.training.es.engines.vllm_es import VllmEs

__all__ = ["make_es_engine"]


def make_es_engine(start: Path, method: Es, template: TemplateArguments | None = None) -> EsEngine:
    """The engine, with the weights of the folder `start` and these arguments of its chat template.

    For raw prompts its tokenizer has none.
    """
    engine = _engine(start, method, template)
    if method.prompt == "raw":
        drop_template(engine.tokenizer)
        engine.engine.ends = end_tokens(start, engine.tokenizer)  # the template's own is gone with it
    return engine


def _engine(start: Path, method: Es, template: TemplateArguments | None) -> "TransformersEs | VllmEs":
    match method.engine.kind:
        case "vllm":
            from emflow.training.es.engines.vllm_es import VllmEs

            return VllmEs(start, method, template)
        case "transformers":
            from emflow.training.es.engines.transformers_es import TransformersEs

            return TransformersEs(start, method, template)
