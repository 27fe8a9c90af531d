"""Attention of conversations that share a row, each computed by itself.

torch's attention (sdpa) takes a row whole and masks what conversations would see of each other: its work grows with the
square of the row. Flash attention is told where each begins and ends; here sdpa is asked for one after the other.
"""

from functools import lru_cache
from itertools import pairwise
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

__all__ = ["attend_apart"]

NAME = "sdpa_apart"


def attend_apart(model: PreTrainedModel) -> None:
    """Let a model whose attention is sdpa compute that of each conversation by itself, in rows that say where they
    begin (`cu_seq_lens_q`); all other rows as before. Flash attention does so anyway."""
    if model.config._attn_implementation == "sdpa":
        AttentionInterface.register(NAME, _attention)
        AttentionMaskInterface.register(NAME, _mask)
        model.set_attn_implementation(NAME)


def _attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    cu_seq_lens_q: torch.Tensor | None = None,
    **kwargs: Any,
) -> Any:
    """Of shapes (1, heads, row, head size), the mask (1, 1, row, row), to (1, row, heads, head size)."""
    if cu_seq_lens_q is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)
    parts = []
    for begin, end in pairwise(_bounds(cu_seq_lens_q)):
        own = slice(begin, end)
        mask = None if attention_mask is None else attention_mask[..., own, own]
        given = (tensor[:, :, own] for tensor in (query, key, value))
        parts.append(sdpa_attention_forward(module, *given, mask, **kwargs)[0])
    return torch.cat(parts, dim=1), None


@lru_cache(maxsize=1)  # all layers of a pass are given the same tensor, and each reading would wait for the GPU
def _bounds(cu_seq_lens: torch.Tensor) -> list[int]:
    bounds: list[int] = cu_seq_lens.tolist()
    return bounds


def _mask(
    kv_length: int, attention_mask: torch.Tensor | None = None, local_size: int | None = None, **kwargs: Any
) -> Any:
    """None, which is causal, where all tokens count and none lies beyond a layer's window."""
    if attention_mask is None and kv_length <= (local_size or kv_length):
        return None
    return sdpa_mask(kv_length=kv_length, attention_mask=attention_mask, local_size=local_size, **kwargs)
