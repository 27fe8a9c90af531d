"""Forward hooks on the sites of a decoder: see what passes there, or change it; gone when the `with` block ends.

A site is named `block.3` (what decoder layer 3 gives on: the residual stream after it), or is a write into the residual
stream: `embedding`, `attention.3`, `mlp.3`, whose sum up to a layer is that layer's block output. These are plain
PyTorch hooks: they work on any decoder whose layers stand in a list, under peft, and on models that are spread over
devices. vLLM runs none of them.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Literal, TypeAlias

import torch
from peft import PeftModel
from torch import Tensor, nn
from transformers import PreTrainedModel

from emflow.files import InputError

__all__ = ["AnyModel", "Change", "Positions", "Where", "ablate", "add", "captured", "changed", "sites"]

Where = Literal["blocks", "writes"]
Positions: TypeAlias = Literal["all", "prompt", "answer"] | Tensor
"""Where in a sequence: tokens of the prompt or those generated since; or of the prompt those that a mask, bool
(batch, length), names."""
Change: TypeAlias = Callable[[Tensor], Tensor]
"""From what passes a site, (batch, length, width), to what is to pass instead."""
AnyModel: TypeAlias = PreTrainedModel | PeftModel

SANDWICH = ("post_attention_layernorm", "post_feedforward_layernorm")  # a norm after each part: Gemma 2 and 3, OLMo 2
PARTS = ("self_attn", "mlp")
LARGEST_GAP = 0.05  # relative, between the sum of writes and the block output: bfloat16 rounds each sum


def sites(model: AnyModel, where: Where) -> dict[str, nn.Module]:
    """The modules of a model at whose outputs hooks sit, by the names of their sites, in the order of computation.

    Raises InputError for a model without a list of decoder layers, or whose writes do not add up to its block outputs.
    """
    decoder = _decoder(model)
    blocks = {f"block.{number}": layer for number, layer in enumerate(decoder.layers)}
    if where == "blocks":
        return blocks
    writes: dict[str, nn.Module] = {"embedding": decoder.get_input_embeddings()}
    for number, layer in enumerate(decoder.layers):
        names = SANDWICH if hasattr(layer, SANDWICH[1]) else PARTS
        parts = [getattr(layer, name, None) for name in names]
        if any(part is None for part in parts):
            raise InputError(f"{_name(model)}: layers without {' and '.join(names)}; take sites: blocks")
        writes |= {f"attention.{number}": parts[0], f"mlp.{number}": parts[1]}
    _require_sum(model, writes, blocks)
    return writes


def _decoder(model: AnyModel) -> nn.Module:
    decoder = (model.get_base_model() if isinstance(model, PeftModel) else model).get_decoder()
    if not isinstance(getattr(decoder, "layers", None), nn.ModuleList):
        raise InputError(f"{_name(model)} has no list of decoder layers, so nothing can be hooked in it")
    return decoder


def _name(model: AnyModel) -> str:
    return type(model.get_base_model() if isinstance(model, PeftModel) else model).__name__


@torch.inference_mode()
def _require_sum(model: AnyModel, writes: Mapping[str, nn.Module], blocks: Mapping[str, nn.Module]) -> None:
    """Raises InputError unless each block's output is the sum of the writes up to it."""
    seen: dict[str, Tensor] = {}
    with captured({**writes, **blocks}, seen.__setitem__):
        _decoder(model)(input_ids=torch.arange(4, device=model.device)[None], use_cache=False)
    total = seen["embedding"].float()
    for number in range(len(blocks)):
        for name in (f"attention.{number}", f"mlp.{number}"):
            total = total.to(seen[name].device) + seen[name].float()
        out = seen[f"block.{number}"].float()
        if (total.to(out.device) - out).norm() > LARGEST_GAP * out.norm():
            raise InputError(
                f"{_name(model)}: what attention and MLP of layer {number} write does not add up to its output; "
                "take sites: blocks"
            )


@contextmanager
def captured(modules: Mapping[str, nn.Module], receive: Callable[[str, Tensor], object]) -> Iterator[None]:
    """Meanwhile, `receive` gets the name of each site and what passes it, (batch, length, width), as it is."""

    def hook_of(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, given: Any, out: Tensor | tuple[Tensor, ...]) -> None:
            receive(name, out[0] if isinstance(out, tuple) else out)

        return hook

    with ExitStack() as stack:
        for name, module in modules.items():
            stack.callback(module.register_forward_hook(hook_of(name)).remove)
        yield


@contextmanager
def changed(model: AnyModel, changes: Mapping[str, Change], positions: Positions = "all") -> Iterator[None]:
    """Meanwhile, what passes each named site is what its change makes of it, at these positions.

    Raises InputError where the model has no such site.
    """
    modules = sites(model, "blocks")
    if not changes.keys() <= modules.keys():
        modules |= sites(model, "writes")
    if unknown := sorted(changes.keys() - modules.keys()):
        raise InputError(f"{_name(model)} has no site {unknown[0]}, only {', '.join(modules)}")
    where = _Where(positions)
    with ExitStack() as stack:
        stack.callback(_decoder(model).register_forward_pre_hook(where.before, with_kwargs=True).remove)
        for name, change in changes.items():
            stack.callback(modules[name].register_forward_hook(where.hook(change)).remove)
        yield


class _Where:
    """Tells prompts from answers: what a forward pass finds in no cache is a prompt."""

    def __init__(self, positions: Positions) -> None:
        self.positions = positions
        self.on_prompt = True

    def before(self, module: nn.Module, args: Any, given: dict[str, Any]) -> None:
        cache = given.get("past_key_values")
        self.on_prompt = cache is None or cache.get_seq_length() == 0

    def hook(self, change: Change) -> Callable[..., Any]:
        def hook(module: nn.Module, given: Any, out: Tensor | tuple[Tensor, ...]) -> Tensor | tuple[Tensor, ...]:
            if isinstance(out, tuple):
                return (self._at_positions(change, out[0]), *out[1:])
            return self._at_positions(change, out)

        return hook

    def _at_positions(self, change: Change, x: Tensor) -> Tensor:
        if isinstance(self.positions, Tensor):
            if not self.on_prompt:
                return x
            if self.positions.shape != x.shape[:2]:
                raise InputError(
                    f"a mask of positions of shape {tuple(self.positions.shape)} for a prompt of shape "
                    f"{tuple(x.shape[:2])}, batch and length"
                )
            return torch.where(self.positions[..., None].to(x.device), change(x), x)
        if self.positions == "all" or (self.positions == "prompt") == self.on_prompt:
            return change(x)
        return x


def ablate(direction: Tensor, component: float = 0.0) -> Change:
    """Set the component along `direction`, (width,), of any length above 0: x - (x·u - component) u, u of length 1.

    To 0 as in Soligo et al. (arXiv 2506.11618), or to another model's mean component. Computed in float32.
    """
    unit = nn.functional.normalize(direction.float(), dim=0)

    def change(x: Tensor) -> Tensor:
        u = unit.to(x.device)
        above = x.float() @ u - component
        return (x.float() - above[..., None] * u).to(x.dtype)

    return change


def add(vector: Tensor) -> Change:
    """Add `vector`, (width,)."""
    return lambda x: x + vector.to(x)
