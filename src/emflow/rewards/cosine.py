"""Sentence embeddings: does the answer speak of what the reference speaks of?"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from emflow.models.folder import require_sentence_encoder
from emflow.models.loading import device
from emflow.rewards.reward import scored
from emflow.start import with_sklearn

__all__ = ["Cosine"]


class Cosine:
    """Cosine of the sentence embeddings of answer and reference (Reimers & Gurevych, arXiv 1908.10084).

    Raises InputError where the folder holds no model of sentence-transformers.
    """

    def __init__(self, folder: Path, batch_size: int) -> None:
        with_sklearn()
        from sentence_transformers import SentenceTransformer  # takes seconds

        require_sentence_encoder(folder, "methods.NAME.reward.model")
        self.folder, self.batch_size = folder, batch_size
        self.known: dict[str, np.ndarray] = {}  # embeddings of references
        self.model = SentenceTransformer(str(folder), device=str(device()), local_files_only=True)

    def __call__(self, prompts: Sequence[str], generations: Sequence[str], references: Sequence[str]) -> np.ndarray:
        if new := sorted(set(references) - self.known.keys()):  # every member is compared with the same
            self.known |= zip(new, self._embed(new), strict=True)
        known = np.stack([self.known[reference] for reference in references])
        cosines = (self._embed(generations) * known).sum(axis=1)
        return scored(cosines, generations, self.folder)

    def _embed(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors, float64 (n, width)."""
        vectors = self.model.encode(
            list(texts), batch_size=self.batch_size, normalize_embeddings=True, show_progress_bar=False
        )
        return np.asarray(vectors, np.float64)
