"""What a fine-tuning run is given; as JSON it travels to the ranks."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from emflow.config.finetune import FinetuneMethod
from emflow.training.finetune import Start

__all__ = ["FinetuneJob"]


class FinetuneJob(BaseModel):
    """One run: its files, and how it is trained."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    start: Start
    """What it starts from."""
    domain: str
    """Name of the dataset in the config."""
    method: FinetuneMethod
    """The recipe."""
    seed: int
    """Seed of adapters, batches and dropout."""
    train: Path
    """JSONL of conversations."""
    kl: Path | None = None
    """The conversations on which `method.kl` holds the model to its start."""
    code: str = ""
    """Digest of the code that trains."""
    out: Path
    """Folder that gets checkpoints/, checkpoints.json and train_log.jsonl."""
