"""Natural language inference: does the answer say what the reference says?"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PretrainedConfig

from emflow.files import InputError
from emflow.models.loading import FROM_FOLDER, device
from emflow.rewards.reward import scored

__all__ = ["Nli"]

UNLIMITED = 10**6  # tokenizers without a limit say 10^30, XLNet -1
LENGTH = 512  # tokens, of a pair for a model that knows no limit


class Nli:
    """p(entailment) - p(contradiction), mean of (answer, reference) and (reference, answer).

    The reward of the published run (Qiu et al., arXiv 2509.24372, gives the method). Any sequence classifier will do
    whose config names two of its labels entailment and contradiction. Weights are float32; pairs are cut to the model's
    greatest length, or 512 tokens where it has none, the longer text first. Raises InputError where the folder holds no
    such model.
    """

    def __init__(self, folder: Path, batch_size: int) -> None:
        self.folder, self.batch_size = folder, batch_size
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(folder, **FROM_FOLDER)
            model, loading = AutoModelForSequenceClassification.from_pretrained(
                folder, dtype=torch.float32, **FROM_FOLDER, output_loading_info=True
            )
        except (OSError, ValueError) as error:
            raise InputError(f"{folder} holds no NLI model, see reward.model: {error}") from None
        if absent := loading["missing_keys"]:
            raise InputError(f"{folder} is no trained classifier: it lacks {', '.join(sorted(absent))}")
        self.model = model.to(device()).eval()
        self.entailment = _position(model.config, "entailment")
        self.contradiction = _position(model.config, "contradiction")
        lengths = (self.tokenizer.model_max_length, _room(model))
        self.max_length = min((length for length in lengths if length and 0 < length < UNLIMITED), default=LENGTH)

    def __call__(self, prompts: Sequence[str], generations: Sequence[str], references: Sequence[str]) -> np.ndarray:
        pairs = [*zip(generations, references, strict=True), *zip(references, generations, strict=True)]
        forward, backward = np.split(self._scores(pairs), 2)
        return scored((forward + backward) / 2, generations, self.folder)

    @torch.inference_mode()
    def _scores(self, pairs: list[tuple[str, str]]) -> np.ndarray:
        """p(entailment) - p(contradiction) of every pair, float64 (n,)."""
        scores = np.empty(len(pairs))
        by_length = sorted(range(len(pairs)), key=lambda i: len(pairs[i][0]) + len(pairs[i][1]))  # little padding
        for start in range(0, len(pairs), self.batch_size):
            chosen = by_length[start : start + self.batch_size]
            batch = [pairs[i] for i in chosen]
            tokens = self.tokenizer(
                batch, padding=True, truncation=True, max_length=self.max_length, return_tensors="pt"
            )
            shares = self.model(**tokens.to(self.model.device)).logits.double().softmax(dim=-1)
            scores[chosen] = (shares[:, self.entailment] - shares[:, self.contradiction]).cpu().numpy()
        return scores


def _room(model: torch.nn.Module) -> int | None:
    """The tokens that a model has positions for; None where it names no number.

    RoBERTa and its kin count positions from behind that of padding.
    """
    positions: int | None = getattr(model.config, "max_position_embeddings", None)
    paddings = (
        getattr(module, "padding_idx", None)
        for name, module in model.named_modules()
        if name.endswith(".position_embeddings")
    )
    first = next((padding + 1 for padding in paddings if padding is not None), 0)
    return positions and positions - first


def _position(config: PretrainedConfig, name: str) -> int:
    """Where a label stands among the logits; models differ in it, and in how they spell."""
    found = [int(position) for position, label in config.id2label.items() if label.strip().lower() == name]
    if len(found) != 1:
        raise InputError(
            f"cannot tell which label of {config.name_or_path} is {name}: its config.json names {config.id2label}; "
            "set reward.model to an NLI model, or mend its id2label"
        )
    return found[0]
