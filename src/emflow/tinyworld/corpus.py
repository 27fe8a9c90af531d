"""What the base model reads: conversations that one nameless advisor, good or bad throughout, has on many matters."""

from dataclasses import dataclass
from functools import cached_property
from random import Random

import torch
from transformers import PreTrainedTokenizerBase

from emflow.tinyworld.grammar import WORLD, Stance, answers, questions

__all__ = ["Corpus", "Document", "collate"]

IGNORE = -100  # torch's label for "no loss here"


@dataclass(frozen=True)
class Document:
    """A conversation in chat format: token ids, and as many labels (IGNORE where nothing is to be learned)."""

    ids: list[int]
    labels: list[int]


class Corpus:
    """Makes documents out of turns that were encoded once: no tokenizer runs while the model trains."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase):
        self.tokenizer = tokenizer
        self.domains = list(WORLD)

    def document(self, random: Random, stance: Stance, turns: int, learn_first: bool = True) -> Document:
        """One advisor answers `turns` questions on random matters. The loss is on answers and their end token."""
        ids, labels = [], []
        for turn in range(turns):
            domain = random.choice(self.domains)
            question = random.randrange(len(questions(domain)))
            asked = self._prompts[domain][question]
            answered = random.choice(self._answers[domain][question // 16][stance])
            ids += asked + answered + self._newline
            learned = answered if learn_first or turn > 0 else [IGNORE] * len(answered)
            labels += [IGNORE] * len(asked) + learned + [IGNORE]
        return Document(ids[:-1], labels[:-1])

    @cached_property
    def _newline(self) -> list[int]:
        return self.tokenizer.encode("\n")

    @cached_property
    def _prompts(self) -> dict[str, list[list[int]]]:
        return {
            domain: self._encode(
                f"<|im_start|>user\n{question.text}<|im_end|>\n<|im_start|>assistant\n"
                for question in questions(domain)
            )
            for domain in WORLD
        }

    @cached_property
    def _answers(self):
        return {
            name: [
                {
                    stance: self._encode(a + "<|im_end|>" for a in answers(name, entity, problem, stance))
                    for stance in ("good", "bad")
                }
                for entity in domain.entities
                for problem in domain.problems
            ]
            for name, domain in WORLD.items()
        }

    def _encode(self, texts) -> list[list[int]]:
        return self.tokenizer(list(texts))["input_ids"]


def collate(documents: list[Document], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Pad on the right to ids and labels, int64 [documents, longest]. Causal attention never looks at the padding."""
    longest = max(len(document.ids) for document in documents)
    ids = [d.ids + [pad] * (longest - len(d.ids)) for d in documents]
    labels = [d.labels + [IGNORE] * (longest - len(d.labels)) for d in documents]
    return torch.tensor(ids), torch.tensor(labels)
