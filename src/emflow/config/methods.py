"""`methods`: the training recipes."""

from typing import Annotated

from pydantic import Field

from emflow.config.es import Es
from emflow.config.finetune import Full, Lora

__all__ = ["Method"]


Method = Annotated[Lora | Full | Es, Field(discriminator="kind")]
