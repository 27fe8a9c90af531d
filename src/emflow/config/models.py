"""`models`: the base chat models."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from emflow.config.section import OPERATIONAL, Section
from emflow.config.sources import Source, is_local

__all__ = ["Model"]

Arguments = Annotated[
    dict[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")], str | bool | int | float],
    AfterValidator(lambda given: dict(sorted(given.items()))),  # their order says nothing, and trains nothing anew
]
NO_ARGUMENTS: Arguments = {}
GIVEN = {"messages", "add_generation_prompt"}  # to a chat template, by whoever applies it


class Model(Section):
    """A base chat model."""

    path: Source
    """A folder that `from_pretrained` loads, or a hub id such as `Qwen/Qwen2.5-0.5B-Instruct`."""
    revision: str | None = None
    """Commit of a hub model; pin it, so that the result can be reproduced."""
    dtype: Literal["float32", "bfloat16", "float16"] = "bfloat16"
    """Precision of the weights in training and generation."""
    chat_template_kwargs: Arguments = NO_ARGUMENTS
    """Arguments of the model's chat template, the same in training and wherever it answers, e.g. `date_string: 26 Jul
    2024` (Llama-3.2) or `enable_thinking: false` (Qwen3). A template that asks for today's date is told 26 July 2024 on
    every day."""
    parameters: Annotated[float, Field(gt=0), OPERATIONAL] = 8.0
    """Billions of parameters; decides what jobs ask of a cluster, and nothing else."""

    @model_validator(mode="after")
    def _arguments_are_free(self) -> Self:
        if taken := self.chat_template_kwargs.keys() & GIVEN:
            raise ValueError(f"chat_template_kwargs: every template is given its '{min(taken)}'; remove it")
        return self

    @property
    def is_local(self) -> bool:
        return is_local(self.path)

    def folder(self, snapshot: Path) -> Path:
        """Where its files lie: in its own folder, or in `snapshot`, to which the hub's are fetched."""
        return Path(self.path).expanduser() if self.is_local else snapshot
