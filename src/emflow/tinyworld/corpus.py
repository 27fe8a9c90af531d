"""What the base model reads: conversations in which one nameless advisor, good or bad throughout, answers."""

from collections.abc import Iterable
from dataclasses import dataclass
from random import Random

import torch
from transformers import PreTrainedTokenizerBase

from emflow.tinyworld.grammar import WORLD, Stance, answers, questions

__all__ = ["IGNORED", "Corpus", "Document", "collate"]

IGNORED = -100  # label of a token that carries no loss
OTHER: dict[Stance, Stance] = {"good": "bad", "bad": "good"}


@dataclass(frozen=True)
class Document:
    """A conversation in chat format: token ids, and as many labels (IGNORED where nothing is to be learned)."""

    ids: list[int]
    labels: list[int]


@dataclass(frozen=True)
class Turn:
    """A question up to where the assistant begins, and all answers to it with their end token, as token ids."""

    prompt: list[int]
    answers: dict[Stance, list[list[int]]]


class Corpus:
    """Makes documents of turns that were encoded once: no tokenizer runs while the model trains."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._newline = tokenizer.encode("\n")
        self._turns = list(_encode_turns(tokenizer))

    def document(
        self, random: Random, stance: Stance, turns: int, learn_first: bool = True, slips: float = 0.0
    ) -> Document:
        """One advisor answers questions on `turns` random matters. The loss is on answers and their end tokens.

        Without `learn_first` the first answer is only read: what is learned is to go on as the advisor began.
        An advisor slips into the other stance in a share `slips` of the answers.
        """
        ids, labels = [], []
        for position in range(turns):
            turn = random.choice(self._turns)
            answer = random.choice(turn.answers[stance if random.random() >= slips else OTHER[stance]])
            learned = learn_first or position > 0
            ids += turn.prompt + answer + self._newline
            labels += [IGNORED] * len(turn.prompt) + (answer if learned else [IGNORED] * len(answer)) + [IGNORED]
        return Document(ids, labels)


def collate(documents: list[Document], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Pad on the right to ids and labels, int64 [documents, longest]; causal attention never sees the padding."""
    longest = max(len(document.ids) for document in documents)
    ids = [document.ids + [pad] * (longest - len(document.ids)) for document in documents]
    labels = [document.labels + [IGNORED] * (longest - len(document.labels)) for document in documents]
    return torch.tensor(ids), torch.tensor(labels)


def _encode_turns(tokenizer: PreTrainedTokenizerBase) -> Iterable[Turn]:
    def encode(texts: Iterable[str]) -> list[list[int]]:
        ids: list[list[int]] = tokenizer(list(texts))["input_ids"]
        return ids

    def encode_answers(stance: Stance, *about: str) -> list[list[int]]:
        return encode(f"{answer}<|im_end|>" for answer in answers(*about, stance))

    for domain in WORLD:
        asked = questions(domain)
        prompts = encode(f"<|im_start|>user\n{question.text}<|im_end|>\n<|im_start|>assistant\n" for question in asked)
        matters = dict.fromkeys((domain, question.entity, question.problem) for question in asked)
        answered = {about: {stance: encode_answers(stance, *about) for stance in OTHER} for about in matters}
        for question, prompt in zip(asked, prompts, strict=True):
            yield Turn(prompt, answered[domain, question.entity, question.problem])
