"""What an ES run is given; as JSON it travels to the ranks."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from emflow.config.es import Es

__all__ = ["Job"]


class Job(BaseModel):
    """One run: its files, and how it is trained."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    start: Path
    """Folder of the model that the run starts from."""
    model: str
    """Name of the base model in the config."""
    chat_template_kwargs: dict[str, str | bool | int | float] = {}
    """Arguments of its chat template."""
    domain: str
    """Name of the dataset in the config."""
    method: Es
    """The recipe."""
    seed: int
    """Seed of batches and noise."""
    train: Path
    """JSONL of conversations."""
    reward_model: Path | None = None
    """Folder of the reward's model, where the reward asks one; null for the one that the method names."""
    code: str = ""
    """Digest of the code that evolves: iterations that other code has made are not kept."""
    out: Path
    """Folder that gets es_log.jsonl and train_log.jsonl."""
