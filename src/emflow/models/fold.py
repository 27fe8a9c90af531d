"""One direction's ablation in the weights themselves, so that any engine answers without it, vLLM too.

Embedding, attention and MLP write into the residual stream by matrices; with u u^T taken from each, nothing is ever
written along u (weight orthogonalization: Arditi et al., arXiv 2406.11717). It is one direction for all sites, since
the stream's component is then constant; another value than 0 is written once, by the embedding.
"""

from collections.abc import Iterator
from pathlib import Path

import torch
from peft import PeftModel
from torch import Tensor, nn
from transformers import PreTrainedModel

from emflow.files import InputError, replacing
from emflow.models.adapters import put_adapter, put_weights
from emflow.models.chat_template import TemplateArguments
from emflow.models.checkpoints import is_adapter
from emflow.models.hooks import SANDWICH, sites
from emflow.models.loading import load_model, load_tokenizer

__all__ = ["fold_ablation", "write_folded"]


def write_folded(
    base: Path,
    checkpoint: Path | None,
    dtype: str,
    direction: Tensor,
    out: Path,
    template: TemplateArguments | None = None,
) -> None:
    """Write to the folder `out` the model in `base`, with this checkpoint of it, without a direction, (width,).

    Weights are rounded to `dtype`. Raises InputError as `fold_ablation` and `load_model` do.
    """
    model = load_model(base, dtype)
    if checkpoint and is_adapter(checkpoint):
        model = put_adapter(model, checkpoint).merge_and_unload()
    elif checkpoint:
        put_weights(model, checkpoint)
    fold_ablation(model, direction)
    with replacing(out) as folder:
        model.save_pretrained(folder)
        load_tokenizer(base, template).save_pretrained(folder)


@torch.no_grad()
def fold_ablation(model: PreTrainedModel, direction: Tensor, component: float = 0.0) -> None:
    """Change the weights so that the residual stream's component along `direction`, (width,), is `component`
    everywhere.

    The same as the hooks `ablate(direction, component)` at the embedding and `ablate(direction)` at all other writes,
    up to rounding. Tied embeddings are untied first: what reads the stream stays as it is. Computed in float32. Raises
    InputError, before anything is changed, for an adapter that is not merged, for families that have a norm behind
    attention and MLP (Gemma 2 and 3, OLMo 2), where no matrix writes, and where the matrices that write have other
    names than `o_proj` and `down_proj` (mixtures of experts).
    """
    if isinstance(model, PeftModel):
        raise InputError("an adapter writes beside the weights: fold what model.merge_and_unload() gives")
    decoder = model.get_decoder()
    if hasattr(decoder.layers[0], SANDWICH[1]):
        raise InputError(
            f"{type(model).__name__} has a norm behind attention and MLP, so its ablation cannot be folded"
        )
    sites(model, "writes")  # which checks that these are all writes
    writing = [matrix for layer in decoder.layers for matrix in _writing(layer, type(model).__name__)]
    _untie(model)
    unit = nn.functional.normalize(direction.float(), dim=0)
    embedding = model.get_input_embeddings().weight
    u = unit.to(embedding.device)
    rows = embedding.float()
    embedding.copy_(rows - ((rows @ u) - component)[:, None] * u)
    for module in writing:
        u = unit.to(module.weight.device)
        weight = module.weight.float()
        module.weight.copy_(weight - torch.outer(u, u @ weight))
        if module.bias is not None:
            module.bias.copy_(module.bias.float() - (module.bias.float() @ u) * u)


def _writing(layer: nn.Module, name: str) -> Iterator[nn.Linear]:
    """The matrices by which a decoder layer writes into the residual stream."""
    for part, matrix in (("self_attn", "o_proj"), ("mlp", "down_proj")):
        found = getattr(getattr(layer, part), matrix, None)
        if not isinstance(found, nn.Linear):
            raise InputError(
                f"{name}: its layers have no matrix {part}.{matrix} to fold into; take hooks at sites: writes"
            )
        yield found


def _untie(model: PreTrainedModel) -> None:
    head, embedding = model.get_output_embeddings(), model.get_input_embeddings()
    if head.weight is embedding.weight:
        head.weight = nn.Parameter(embedding.weight.detach().clone(), requires_grad=False)
    model.config.tie_word_embeddings = False
