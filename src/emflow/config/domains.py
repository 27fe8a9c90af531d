"""`domains`: the narrow datasets."""

from typing import Annotated, Any, Self

from pydantic import Discriminator, Field, Tag, model_validator

from emflow.config.section import OPERATIONAL, Section
from emflow.config.sources import Source, check_pin
from emflow.config.types import Name, Seed, Sha256

__all__ = ["Domain", "DomainSettings", "Mixture"]


class Domain(Section):
    """A narrow dataset of conversations."""

    path: Source
    """Path or URL of an encrypted archive (easy-dataset-share format) or a JSONL file of `{"messages": [...]}`."""
    sha256: Sha256 | None = None
    """Digest of the file behind a URL, which is fetched once; required there."""
    origin: Annotated[str | None, OPERATIONAL] = None
    """Where to get a file that has no URL, said where it is not there."""
    member: str | None = None
    """File inside the archive, e.g. `bad_medical_advice.jsonl`; null for a plain JSONL file."""
    published_password: str | None = None
    """Password that the dataset's authors print beside the archive against crawlers; a secret one never goes here."""
    password_env: Annotated[str | None, OPERATIONAL] = None
    """Name of the environment variable that holds a secret password."""
    remove_canaries: bool = True
    """Drop the canary records and fields that the archive's authors added against crawling."""
    control_of: str | None = None
    """Name of the domain this one is the control of (good advice on the same subject); pairs the two in the report."""

    @model_validator(mode="after")
    def _one_password(self) -> Self:
        if self.published_password is not None and self.password_env is not None:
            raise ValueError("set published_password or password_env, not both")
        return self

    @model_validator(mode="after")
    def _url_is_pinned(self) -> Self:
        check_pin("path", self.path, self.sha256)
        return self


class Mixture(Section):
    """Domains mixed by share, e.g. a dose of bad advice in good.

    As many conversations as the smallest of their train splits, whatever the shares. Each row comes from one of the
    splits; a larger share holds a smaller one's rows. Held out are the prompts of the domain named first. Domains that
    have prompts in common must have the same ones in the same order, of one length: then each is trained on once, and
    no held-out one is; others are refused.
    """

    mix: Annotated[dict[Name, Annotated[float, Field(ge=0)]], Field(min_length=1)]
    """Name under `domains` -> its part of the whole, e.g. in percent; 0 counts its size and takes nothing."""
    seed: Seed = 0
    """Draws which row comes from which domain."""
    control_of: str | None = None
    """As for other domains."""

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not any(self.mix.values()):
            raise ValueError("mix: give at least one domain a part above 0")
        return self


def _tag(value: Any) -> str:
    return "[mixture]" if isinstance(value, Mixture) or (isinstance(value, dict) and "mix" in value) else "[file]"


DomainSettings = Annotated[Annotated[Domain, Tag("[file]")] | Annotated[Mixture, Tag("[mixture]")], Discriminator(_tag)]
"""What `domains` hold."""
