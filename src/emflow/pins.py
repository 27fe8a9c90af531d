"""What a config leaves open of what others publish, found by asking them: commits of models, digests of files."""

from collections.abc import Callable, Iterator
from typing import Any

from emflow.config.rewards import CosineReward, NliReward
from emflow.config.sources import is_local, is_url
from emflow.fetch import digest_of_url, newest_commit
from emflow.files import InputError

__all__ = ["pins"]

Found = tuple[tuple[str, ...], str, Callable[[str], str]]  # the key to set, what it pins, and who says its value
REWARDS = {"nli": NliReward, "cosine": CosineReward}


def pins(raw: dict[str, Any]) -> dict[str, Any]:
    """An overlay with a `revision` for each hub model that has none, and a `sha256` for each URL that has none.

    `raw` is a config as its user wrote it: one whose URLs lack their digest does not hold yet. What is used twice is
    asked once. Raises InputError, which names the key, where a hub or a server does not answer.
    """
    overlay: dict[str, Any] = {}
    known: dict[str, str] = {}
    for key, source, ask in _open(raw):
        try:
            known[source] = known.get(source) or ask(source)
        except InputError as error:
            raise InputError(f"{'.'.join(key)}: {error}") from None
        section = overlay
        for part in key[:-1]:
            section = section.setdefault(part, {})
        section[key[-1]] = known[source]
    return overlay


def _open(raw: dict[str, Any]) -> Iterator[Found]:
    """All that a config leaves open."""
    for name, model in _entries(raw, "models"):
        yield from _model(("models", name), model, "path")
    for name, judge in _entries(raw, "judges"):
        if judge.get("kind") in ("vllm", "transformers"):
            yield from _model(("judges", name), judge, "path")
    for name, method in _entries(raw, "methods"):
        reward = method.get("reward")
        if isinstance(reward, dict) and (kind := REWARDS.get(reward.get("kind", ""))):
            default = kind.model_fields["model"].default
            yield from _model(("methods", name, "reward"), {"model": default, **reward}, "model")
    for section, key in (("domains", "path"), ("question_sets", "source")):
        for name, entry in _entries(raw, section):
            source = entry.get(key)
            if isinstance(source, str) and is_url(source) and not entry.get("sha256"):
                yield (section, name, "sha256"), source, digest_of_url


def _entries(raw: dict[str, Any], section: str) -> list[tuple[str, dict[str, Any]]]:
    given = raw.get(section)
    entries = given.items() if isinstance(given, dict) else ()
    return [(name, entry) for name, entry in entries if isinstance(entry, dict)]


def _model(where: tuple[str, ...], section: dict[str, Any], key: str) -> Iterator[Found]:
    model = section.get(key)
    if isinstance(model, str) and not is_local(model) and not section.get("revision"):
        yield (*where, "revision"), model, newest_commit
