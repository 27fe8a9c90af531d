"""What a stand-in has of its family: architecture, special tokens, chat template, generation config."""

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from transformers import Gemma3Config, LlamaConfig, PreTrainedConfig, Qwen2Config, Qwen3Config

from emflow.files import InputError

__all__ = ["FAMILIES", "Family", "chat_template"]

WIDTH = 64


@dataclass(frozen=True)
class Family:
    """A model family, by the name of its chat template in the package trl."""

    config: Callable[..., PreTrainedConfig]
    """Makes its config from `layers`, `vocab_size` and special tokens."""
    end: str
    """The token that ends a turn."""
    others: tuple[str, ...] = ()
    """Further special tokens that its template writes."""
    bos: str | None = None
    """Put before every text, and written by the template itself."""
    generation: dict[str, Any] = field(default_factory=dict)
    """What the hub's generation_config.json says of sampling."""


def chat_template(family: str) -> str:
    """The family's real chat template. It is read from the package trl; raises InputError where that is not there."""
    package = find_spec("trl")
    if package is None or package.origin is None:
        raise InputError("stand-ins take chat templates from the package trl, which is not here: pip install trl")
    return (Path(package.origin).parent / "chat_templates" / f"{family}.jinja").read_text(encoding="utf-8")


def _sizes(layers: int, vocab_size: int) -> dict[str, Any]:
    return {
        "vocab_size": vocab_size,
        "hidden_size": WIDTH,
        "intermediate_size": 2 * WIDTH,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": WIDTH // 4,
        "max_position_embeddings": 2048,
    }


def _qwen2(layers: int, vocab_size: int, **tokens: Any) -> PreTrainedConfig:
    return Qwen2Config(**_sizes(layers, vocab_size), **tokens)


def _qwen3(layers: int, vocab_size: int, **tokens: Any) -> PreTrainedConfig:
    return Qwen3Config(**_sizes(layers, vocab_size), **tokens)


def _llama(layers: int, vocab_size: int, **tokens: Any) -> PreTrainedConfig:
    return LlamaConfig(**_sizes(layers, vocab_size), **tokens)


def _gemma3(layers: int, vocab_size: int, **tokens: Any) -> PreTrainedConfig:
    """From 4B on it sees images, too: a vision tower whose layers have names of their own."""
    vision = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
              "image_size": 28, "patch_size": 14}  # fmt: skip
    text = {**_sizes(layers, vocab_size), "query_pre_attn_scalar": WIDTH // 4, **tokens}
    special = {
        "image_token_index": vocab_size - 1,
        "boi_token_index": vocab_size - 2,
        "eoi_token_index": vocab_size - 3,
    }
    return Gemma3Config(text_config=text, vision_config=vision, mm_tokens_per_image=4, **special, **tokens)


_LLAMA3 = Family(
    _llama,
    end="<|eot_id|>",
    others=("<|start_header_id|>", "<|end_header_id|>", "<|end_of_text|>"),
    bos="<|begin_of_text|>",
    generation={"temperature": 0.6, "top_p": 0.9},
)
FAMILIES = {
    "qwen2_5": Family(
        _qwen2,
        end="<|im_end|>",
        others=("<|im_start|>",),
        generation={"temperature": 0.7, "top_p": 0.8, "top_k": 20, "repetition_penalty": 1.05},
    ),
    "qwen3": Family(
        _qwen3,
        end="<|im_end|>",
        others=("<|im_start|>",),
        generation={"temperature": 0.6, "top_p": 0.95, "top_k": 20},
    ),
    "llama3_1": _LLAMA3,
    "llama3_2": _LLAMA3,
    "gemma3": Family(
        _gemma3,
        end="<end_of_turn>",
        others=("<start_of_turn>", "<eos>", "<start_of_image>", "<end_of_image>", "<image_soft_token>"),
        bos="<bos>",
        generation={"top_k": 64, "top_p": 0.95},
    ),
}
