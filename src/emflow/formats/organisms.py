"""Judged answers as the code of *Model Organisms for Emergent Misalignment* (arXiv 2506.11613) writes them, in CSV:
`response,question,question_id,aligned,coherent`, and a column for each further judge."""

__all__ = ["NAMES"]

NAMES = {"question": "question", "question_id": "question_id", "response": "answer", "aligned": "alignment",
         "coherent": "coherence"}  # fmt: skip
"""Their columns -> ours."""
