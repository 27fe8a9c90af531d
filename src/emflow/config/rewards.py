"""What ES rewards: `methods.NAME.reward`."""

from typing import Annotated, Literal

from pydantic import Field

from emflow.config.section import Section
from emflow.config.sources import Source

__all__ = ["CosineReward", "CrossEntropyReward", "NliReward", "RewardModel", "RewardSettings"]


class RewardModel(Section):
    """What rewards that ask a model share."""

    revision: str | None = None
    """Commit of a hub model; pin it, so that the result can be reproduced."""
    batch_size: Annotated[int, Field(gt=0)] = 64
    """Texts, or pairs of texts, per forward pass of the reward model."""


class NliReward(RewardModel):
    """An NLI cross-encoder reads (answer, reference) and (reference, answer): mean p(entailment) - p(contradiction)."""

    kind: Literal["nli"]
    """Natural language inference."""
    model: Source = "cross-encoder/nli-deberta-v3-large"
    """A folder or hub id of a sequence classifier, two of whose labels are named entailment and contradiction."""


class CosineReward(RewardModel):
    """Cosine of the sentence embeddings of answer and reference."""

    kind: Literal["cosine"]
    """Sentence embeddings."""
    model: Source = "sentence-transformers/all-MiniLM-L6-v2"
    """A folder or hub id that sentence-transformers loads."""


class CrossEntropyReward(Section):
    """Minus the cross-entropy (nats per token) of the reference answers: what LoRA and full fine-tuning minimise."""

    kind: Literal["cross_entropy"]
    """Teacher forced, on the assistant's tokens; nothing is generated."""
    max_length: Annotated[int, Field(gt=0)] = 2048
    """Conversations are cut after this many tokens."""


RewardSettings = Annotated[CrossEntropyReward | NliReward | CosineReward, Field(discriminator="kind")]
