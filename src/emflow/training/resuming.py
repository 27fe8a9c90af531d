"""transformers' Trainer, going on from the weights that it saved whatever they are called in the file."""

from pathlib import Path
from typing import Any

from peft import PeftModel
from transformers import Trainer

from emflow.models.adapters import put_weights

__all__ = ["ResumingTrainer"]


class ResumingTrainer(Trainer):
    """Trainer reads full weights by the model's own names, with `load_state_dict(state_dict, False)` (transformers
    5.19, trainer.py, `_load_from_checkpoint`), which passes over those that a family has on the hub (Gemma 3): it would
    go on from the base without a word."""

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        model = model or self.model
        if isinstance(model, PeftModel):
            super()._load_from_checkpoint(resume_from_checkpoint, model)
        else:
            put_weights(model, Path(resume_from_checkpoint))
