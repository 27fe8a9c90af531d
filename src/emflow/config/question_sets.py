"""`question_sets`: what is asked, and how answers are sampled."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from emflow.config.section import OPERATIONAL, Section
from emflow.config.sources import Source, check_pin, is_url
from emflow.config.types import Once, Seed, Sha256

__all__ = ["QuestionSet", "Sampling"]


class Sampling(Section):
    """How answers are sampled."""

    samples: Annotated[int, Field(gt=0)] | None = None
    """Answers per question; null for as many as its file says (`samples_per_paraphrase`), 1 where it says nothing."""
    temperature: Annotated[float, Field(ge=0)] = 1.0
    """0 is greedy."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Nucleus sampling (Holtzman et al., arXiv 1904.09751)."""
    top_k: Annotated[int, Field(ge=0)] = 0
    """Only so many likeliest tokens are drawn from, before `top_p`; 0 is all."""
    repetition_penalty: Annotated[float, Field(gt=0)] = 1.0
    """Scores of all tokens in prompt and answer so far are divided by this where positive, else multiplied (Keskar et
    al., arXiv 1909.05858); greedy answers follow it too."""
    generation_config: Literal["model"] | None = None
    """`model`: `top_k` and `repetition_penalty` are those of the model's `generation_config.json`, and top_k 50 where
    it names none, as for transformers' `generate` with temperature and top_p given; null: those above."""
    max_new_tokens: Annotated[int, Field(gt=0)] = 600
    """Tokens after which an answer is cut."""
    seed: Seed = 0
    """Every answer's own seed derives from this, its question and its number."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.generation_config is not None and (self.top_k, self.repetition_penalty) != (0, 1.0):
            raise ValueError("set generation_config: model, or top_k and repetition_penalty, not both")
        return self


class QuestionSet(Sampling):
    """Evaluation questions and how answers to them are sampled."""

    source: Source
    """`validation` (held-out prompts of the run's domain), or path or URL of CSV, JSONL or Betley et al.'s YAML."""
    sha256: Sha256 | None = None
    """Digest of the file behind a URL, which is fetched once; required there."""
    origin: Annotated[str | None, OPERATIONAL] = None
    """Where to get a file that has no URL, said where it is not there."""
    ids: Once[str] | None = None
    """The questions that are asked, by id; null for all of the source."""
    part: tuple[Annotated[int, Field(gt=0)], Annotated[int, Field(gt=1)]] | None = None
    """[k, n]: of these only the k-th of n equal parts, drawn by their ids; parts have no question in common."""

    prompts: Source | None = None
    """What a language model is asked when it judges: `ours` (`src/emflow/judging/prompts.py`), or a YAML file with one
    prompt per score for all questions, such as the question files of Betley et al.; null for the prompts that come with
    the set's own source, and ours where it has none. Rates by two sets of prompts are of two instruments: the report
    tells."""

    @property
    def is_held_out(self) -> bool:
        """Whether the questions are the held-out prompts of each run's own domain."""
        return self.source == "validation"

    def name_for(self, name: str, domain: str) -> str:
        """The set's name in the paths of files that are no run's: held-out questions differ by domain."""
        return f"{name}/{domain}" if self.is_held_out else name

    @model_validator(mode="after")
    def _part_is_one_of_n(self) -> Self:
        if self.part is not None and self.part[0] > self.part[1]:
            raise ValueError(f"part: [{self.part[0]}, {self.part[1]}] is no part: k goes from 1 to n")
        if self.part is not None and self.is_held_out:
            raise ValueError("part: held-out prompts are asked whole; name a file as source")
        return self

    @model_validator(mode="after")
    def _url_is_pinned(self) -> Self:
        check_pin("source", self.source, self.sha256)
        if self.prompts is not None and is_url(self.prompts):
            raise ValueError("prompts is a file, not a URL: fetch it by hand and name its path")
        return self
