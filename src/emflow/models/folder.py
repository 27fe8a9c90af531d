"""What the folder of a model or of a checkpoint must hold, told from its files alone: nothing is loaded."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from emflow.files import InputError

__all__ = [
    "require_checkpoint",
    "require_model",
    "require_sentence_encoder",
    "require_tokenizer",
    "require_weights",
]

TOKENIZERS = ("tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "vocab.txt", "tekken.json")
TEMPLATE = "chat_template.jinja"
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
ADAPTERS = ("adapter_model.safetensors", "adapter_model.bin")
AGAIN = "copy or fetch the folder again"


def require_model(folder: Path, key: str, arguments: Iterable[str] = ()) -> None:
    """Raises InputError, one line that names folder, file and mend, where a part of a chat model is not there, or its
    chat template never reads one of `arguments`.

    `key` is what names the folder in the config, e.g. `models.NAME.path`.
    """
    require_weights(folder, key)
    require_tokenizer(folder, key, arguments)


def _require_config(folder: Path, key: str) -> None:
    """As `require_model`, for the config of a model alone."""
    if not (folder / "config.json").exists():
        raise InputError(f"{folder} holds no model (no config.json there); set {key} to a folder or a hub id")
    _json(folder / "config.json", AGAIN)


def require_weights(folder: Path, key: str) -> None:
    """As `require_model`, for config and weights."""
    _require_config(folder, key)
    _require_file_or_shards(folder, WEIGHTS, f"{AGAIN}, or set {key} to another")


def require_tokenizer(folder: Path, key: str, arguments: Iterable[str] = ()) -> None:
    """As `require_model`, for config, tokenizer and chat template with its arguments."""
    _require_config(folder, key)
    if not any((folder / name).exists() for name in TOKENIZERS):
        raise InputError(f"{folder} has no tokenizer (no {TOKENIZERS[0]} there): {AGAIN}, or set {key} to another")
    template = _template(folder)
    if not template:
        raise InputError(
            f"{folder} has no chat template (no {TEMPLATE} there): put that of the model's family into it, "
            f"or set {key} to a model that was tuned to chat"
        )
    if unread := set(arguments) - set(re.findall(r"\w+", template)):
        key = f"{key.removesuffix('path')}chat_template_kwargs"
        raise InputError(f"{folder}: its chat template reads no '{min(unread)}'; check {key}")


def _template(folder: Path) -> str:
    """The text of a folder's chat template, or of several, one after another; empty without one."""
    if (folder / TEMPLATE).exists():
        return (folder / TEMPLATE).read_text(encoding="utf-8")
    settings = folder / "tokenizer_config.json"  # a chat_template.json is for processors: no tokenizer reads it
    found = _json(settings, AGAIN).get("chat_template") if settings.exists() else None
    if isinstance(found, list):
        return "\n".join(str(one.get("template")) for one in found)
    return found or ""


def require_sentence_encoder(folder: Path, key: str) -> None:
    """As `require_model`, for a model of sentence-transformers."""
    if not (folder / "modules.json").exists():  # the library would make up a pooling of its own
        raise InputError(f"{folder} holds no model of sentence-transformers (no modules.json there); check {key}")


def require_checkpoint(folder: Path, index: Path) -> None:
    """Raises InputError, one line that names folder, file and mend, where a checkpoint of `index` is not whole."""
    mend = f"delete {index}, and what needs the checkpoint trains it again"
    if (folder / "adapter_config.json").exists():
        _require_file_or_shards(folder, ADAPTERS, mend)
    elif (folder / "config.json").exists():
        _require_file_or_shards(folder, WEIGHTS, mend)
    else:
        raise InputError(f"{folder} holds no checkpoint (neither adapter_config.json nor config.json there): {mend}")


def _require_file_or_shards(folder: Path, names: tuple[str, ...], mend: str) -> None:
    """One of the files, or all that the index of one names."""
    if found := [folder / name for name in names if (folder / name).exists()]:
        files = found[:1]
    elif indices := [folder / f"{name}.index.json" for name in names if (folder / f"{name}.index.json").exists()]:
        shards = _json(indices[0], mend).get("weight_map", {})
        files = [folder / shard for shard in sorted(set(shards.values()))]
    else:
        raise InputError(f"{folder} has no weights (no {names[0]} there): {mend}")
    for file in files:
        if not file.exists():
            raise InputError(f"{folder} lacks {file.name}, which the index of its weights names: {mend}")
        if file.suffix == ".safetensors" and file.stat().st_size != _size(file):
            raise InputError(f"{file} is cut or damaged ({file.stat().st_size:,} bytes): {mend}")


def _size(file: Path) -> int | None:
    """The bytes that a file of safetensors should have by its header, None for one that cannot be read."""
    with open(file, "rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        try:
            tensors = json.loads(opened.read(length)) if length < file.stat().st_size else {}
            ends = [tensor["data_offsets"][1] for name, tensor in tensors.items() if name != "__metadata__"]
            return 8 + length + int(max(ends))
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
            return None


def _json(file: Path, mend: str) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file} is not readable as JSON ({error}): {mend}") from None
    if not isinstance(content, dict):
        raise InputError(f"{file} holds no JSON object: {mend}")
    return content
