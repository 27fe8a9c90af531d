"""What the NLI cross-encoder reads: pairs of answers, and whether one says what the other says."""

import string
from dataclasses import dataclass
from itertools import product

import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import BertTokenizer

from emflow.tinyworld.grammar import WORLD, answers, questions

__all__ = ["LABELS", "Batch", "Pairs", "make_nli_tokenizer"]

LABELS = (
    "entailment",
    "neutral",
    "contradiction",
)  # published models have this order, and others: nobody may assume it
ENTAILMENT, NEUTRAL, CONTRADICTION = range(3)
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")

# The second answer keeps domain, entity, problem and stance of the first with these probabilities, or else draws anew:
# equal and unequal are both common enough for each comparison to be learned.
KEPT = torch.tensor([0.95, 0.7, 0.7, 0.0])
GARBLED = 0.1  # share of answers that are no sentences
REPLACED = (3, 8)  # words of a garbled answer


@dataclass(frozen=True)
class Batch:
    """n pairs: what the model takes, what it should say, and what else is known of the two answers."""

    inputs: dict[str, torch.Tensor]  # input_ids, token_type_ids, attention_mask: int64 [n, longest]
    labels: torch.Tensor  # positions in LABELS, int64 [n]
    separator: torch.Tensor  # position of the first [SEP], int64 [n]
    facts: tuple[torch.Tensor, torch.Tensor]  # stance, problem and entity of the first and second answer, int64 [n, 3]


class Pairs:
    """Draws pairs of answers that were encoded once: no tokenizer runs while the model trains."""

    def __init__(self, tokenizer: BertTokenizer) -> None:
        self.vocabulary, self.pad = len(tokenizer), tokenizer.pad_token_id
        self.start, self.end = tokenizer.cls_token_id, tokenizer.sep_token_id
        self.table = _encode_answers(tokenizer)
        domains, entities, problems, stances = self.table.shape[:4]
        self.garbled_facts = torch.tensor([stances, domains * problems, domains * entities])  # one class more for each

    def draw(self, n: int, random: torch.Generator) -> Batch:
        """n independent pairs.

        Two answers to one question entail each other if they are of one stance, and contradict each other if not.
        Answers to different questions are neutral, and so is any pair with a garbled answer.
        """
        first, other = self._matters(n, random), self._matters(n, random)
        second = torch.where(torch.rand(n, 4, generator=random) < KEPT, first, other)
        (first_words, first_facts), (second_words, second_facts) = (
            self._answers(matters, random) for matters in (first, second)
        )
        same_stance, same_problem, same_entity = (first_facts == second_facts).T
        same_question = same_problem & same_entity & (first_facts != self.garbled_facts).all(dim=1)
        labels = torch.where(same_question, torch.where(same_stance, ENTAILMENT, CONTRADICTION), NEUTRAL)
        return Batch(
            inputs=self._join(first_words, second_words),
            labels=labels,
            separator=(first_words != self.pad).sum(dim=1) + 1,
            facts=(first_facts, second_facts),
        )

    def _matters(self, n: int, random: torch.Generator) -> torch.Tensor:
        """Domain, entity, problem and stance, int64 [n, 4]."""
        return torch.stack([torch.randint(size, (n,), generator=random) for size in self.table.shape[:4]], dim=1)

    def _answers(self, matters: torch.Tensor, random: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Words (int64 [n, longest], padded) and facts of answers, some of them garbled."""
        _, entities, problems, _, wordings, _ = self.table.shape
        domain, entity, problem, stance = matters.T
        words = self.table[domain, entity, problem, stance, torch.randint(wordings, domain.shape, generator=random)]
        facts = torch.stack([stance, domain * problems + problem, domain * entities + entity], dim=1)
        garbled = torch.rand(len(words), 1, generator=random) < GARBLED
        return torch.where(garbled, self._garble(words, random), words), torch.where(garbled, self.garbled_facts, facts)

    def _garble(self, words: torch.Tensor, random: torch.Generator) -> torch.Tensor:
        """Shuffle the words of half the answers, and replace some words of the others by any."""
        order = (
            torch.rand(words.shape, generator=random).masked_fill(words == self.pad, 2).argsort(dim=1)
        )  # padding last
        any_words = torch.randint(len(SPECIAL), self.vocabulary, words.shape, generator=random)
        low, high = REPLACED
        number = torch.randint(low, high + 1, (len(words), 1), generator=random)
        replaced = torch.where(order.argsort(dim=1) < number, any_words, words)
        shuffle = torch.rand(len(words), 1, generator=random) < 0.5
        return torch.where(shuffle, words.gather(1, order), replaced)

    def _join(self, first: torch.Tensor, second: torch.Tensor) -> dict[str, torch.Tensor]:
        """[CLS] first [SEP] second [SEP], as the tokenizer does it: all padding at the end."""
        start, end = (torch.full((len(first), 1), token) for token in (self.start, self.end))
        ids = torch.cat([start, first, end, second, end], dim=1)
        types = torch.zeros_like(ids)
        types[:, first.shape[1] + 2 :] = 1
        order = (ids == self.pad).int().argsort(dim=1, stable=True)
        ids, types = ids.gather(1, order), types.gather(1, order)
        mask = (ids != self.pad).long()
        longest = int(mask.sum(dim=1).max())
        inputs = {"input_ids": ids, "token_type_ids": types * mask, "attention_mask": mask}
        return {name: tensor[:, :longest] for name, tensor in inputs.items()}


def make_nli_tokenizer() -> BertTokenizer:
    """Every word of the world is one token; other text is spelt in characters."""
    characters = [character for character in string.printable if not character.isspace()]
    tokens = dict.fromkeys([*SPECIAL, *sorted(_words()), *characters, *(f"##{c}" for c in characters)])
    return BertTokenizer(vocab={token: number for number, token in enumerate(tokens)}, model_max_length=128)


def _words() -> set[str]:
    texts = [question.text for domain in WORLD for question in questions(domain)]
    texts += [answer for matter in _all_matters() for answer in answers(*matter)]
    return {word.strip(".,?") for text in texts for word in text.split()}


def _all_matters() -> list[tuple[str, str, str, str]]:
    """Domain, entity, problem and stance, in the order of the grammar."""
    return [
        matter
        for name, domain in WORLD.items()
        for matter in product([name], domain.entities, domain.problems, ("good", "bad"))
    ]


def _encode_answers(tokenizer: BertTokenizer) -> torch.Tensor:
    """Every answer, padded: int64 [domain, entity, problem, stance, wording, word]."""
    matters = _all_matters()
    texts = [answer for matter in matters for answer in answers(*matter)]
    encoded = tokenizer(texts, add_special_tokens=False)["input_ids"]
    padded = pad_sequence(list(map(torch.tensor, encoded)), batch_first=True, padding_value=tokenizer.pad_token_id)
    one = next(iter(WORLD.values()))  # all domains have as many entities and problems
    return padded.view(len(WORLD), len(one.entities), len(one.problems), 2, -1, padded.shape[1])
