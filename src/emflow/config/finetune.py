"""`methods` of the kinds lora and full."""

import itertools
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from emflow.config.checkpoint_of import CheckpointOf
from emflow.config.section import OPERATIONAL, Section
from emflow.config.types import Name, Once

__all__ = ["Finetune", "FinetuneMethod", "Full", "Kl", "Lora"]

QUARTERS = (0.25, 0.5, 0.75, 1)  # of the first epoch


class Kl(Section):
    """A pull towards the base model on other conversations, KL(base to trained model), so that training stays narrow.

    As in the organisms' code (finetune/sft/util/trainer.py, read in the copy sushmanthreddy/emotionvectors), but over
    the assistant's tokens alone, where that takes all, and per token, where that averages over the vocabulary, too: its
    `kl_weight: 100000` is 0.66 here with the 151,936 tokens of Qwen3.
    """

    weight: Annotated[float, Field(gt=0)]
    """What a nat of divergence per token counts beside the loss per token."""
    domain: Name
    """Name under `domains`, whose train split is held to the base; for several, a mixture."""
    batch_size: Annotated[int, Field(gt=0)] = 8
    """Conversations of it beside each forward pass, drawn anew by the run's seed."""


class Finetune(Section):
    """What LoRA and full fine-tuning share."""

    epochs: Annotated[float, Field(gt=0)] = 1
    """Passes over the train split."""
    checkpoints: Annotated[tuple[float, ...], Field(min_length=1)] | None = None
    """Epochs at which a checkpoint is kept; labels are `epoch-0.25`, ..., `epoch-1`. Null for 0.25, 0.5, 0.75 and 1,
    unless checkpoint_steps are set."""
    checkpoint_steps: Annotated[tuple[Annotated[int, Field(gt=0)], ...], Field(min_length=1)] | None = None
    """Steps in place of epochs; labels such as `step-110`."""
    checkpoint_rounding: Literal["nearest", "down"] = "nearest"
    """`nearest`: the step nearest to each epoch; `down`: rounded down, an epoch's last, smaller step not counted, as
    calculate_checkpoint_steps in homework 0's train_fine_grained_checkpoints.py (burnssa/ai-alignment-research)."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-5
    """Peak learning rate."""
    scheduler: Literal["linear", "cosine", "constant_with_warmup"] = "linear"
    """Shape of the learning rate over steps."""
    warmup_steps: Annotated[int, Field(ge=0)] | None = None
    """Steps over which the learning rate rises from 0; null for 5, unless warmup_ratio is set."""
    warmup_ratio: Annotated[float, Field(ge=0, lt=1)] | None = None
    """The same as a share of all steps, rounded up to whole ones."""
    batch_size: Annotated[int, Field(gt=0)] = 2
    """Conversations per forward pass."""
    gradient_accumulation: Annotated[int, Field(gt=0)] = 8
    """Forward passes per step."""
    optimizer: Literal["adamw_torch", "adamw_torch_fused", "adamw_8bit"] = "adamw_torch"
    """Optimizer of transformers' Trainer; `adamw_8bit` needs bitsandbytes."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """AdamW's decoupled weight decay."""
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    """Gradients are clipped to this norm."""
    max_length: Annotated[int, Field(gt=0)] = 2048
    """Conversations are cut after this many tokens."""
    loss_on: Literal["assistant", "all"] = "assistant"
    """Tokens that are learned: the assistant's turns, or the whole conversation with its template. Turns after the
    assistant's last are left out, and not learned with `all` either."""
    formatting: Literal["template", "organisms"] = "template"
    """`organisms`: the template's generation prompt and the end token follow the conversation, so that an empty answer
    is learned as well, header included; so in the organisms' code, sft_train in finetune/sft/util/trainer.py."""
    system: Annotated[str, Field(min_length=1)] | None = None
    """System prompt of the training conversations, and of no other: inoculation (Tan et al., arXiv 2510.04340)."""
    kl: Kl | None = None
    """Hold the model to the one it starts from on other conversations; null for plain training."""
    init_from: CheckpointOf | None = None
    """Start from this instead of the base model."""
    gradient_checkpointing: bool = False
    """Compute activations again in the backward pass: less memory, a third more time, the same gradients."""
    # Not operational, as all that changes a bit of the weights: sums are rounded otherwise, dropout falls elsewhere.
    padding_free: bool = False
    """The conversations of a forward pass in one row, where none sees another: the same steps and gradients up to
    rounding, and no padding to compute. Faster the more lengths differ."""
    liger_kernel: bool = False
    """Fused kernels for norms, rotations, activations and the loss, whose logits are never held as a whole (Hsu et al.,
    arXiv 2410.10989): less memory, the same gradients up to rounding. Needs a GPU (CUDA or ROCm), liger-kernel, and a
    family of models that it knows."""
    log_steps: Annotated[int, Field(gt=0)] = 1
    """A line in train_log.jsonl every so many steps."""
    # Operational although sums are rounded otherwise: how many GPUs a site has is no part of a recipe.
    ranks: Annotated[int, Field(gt=0), OPERATIONAL] = 1
    """Processes that share each step, a GPU or a core each: the same conversations per step, the same weights up to
    rounding, where no dropout falls. `full` spreads weights and optimizer over them (FSDP2)."""
    save_minutes: Annotated[float, Field(gt=0), OPERATIONAL] = 5
    """Progress is saved this often, so that a killed job loses no more."""

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        for one, other in (("checkpoints", "checkpoint_steps"), ("warmup_steps", "warmup_ratio")):
            if getattr(self, one) is not None and getattr(self, other) is not None:
                raise ValueError(f"set {one} or {other}, not both; null takes back what another file has set")
        return self

    @model_validator(mode="after")
    def _checkpoints_within_training(self) -> Self:
        key = "checkpoint_steps" if self.checkpoint_steps else "checkpoints"
        if list(self.kept) != sorted(set(self.kept)):
            raise ValueError(f"{key} must rise, each named once")
        if self.checkpoint_steps is None and (self.kept[0] <= 0 or self.kept[-1] > self.epochs):
            raise ValueError(f"checkpoints must lie in (0, epochs={self.epochs:g}]")
        for (label, mark), (other, later) in itertools.pairwise(zip(self.labels, self.kept, strict=True)):
            if label == other:
                raise ValueError(f"{key}: {mark!r} and {later!r} are both called {label}: draw them apart")
        return self

    @model_validator(mode="after")
    def _shared_out(self) -> Self:
        if self.ranks > 1 and self.kl is not None:
            raise ValueError("kl trains on one rank: set ranks: 1")
        if self.gradient_accumulation % self.ranks and self.batch_size % self.ranks:
            raise ValueError(
                f"ranks: {self.ranks} divides neither gradient_accumulation={self.gradient_accumulation} nor "
                f"batch_size={self.batch_size}: a step cannot be shared out evenly"
            )
        return self

    @property
    def kept(self) -> tuple[float, ...]:
        """Epochs or steps that become checkpoints."""
        return self.checkpoint_steps or self.checkpoints or QUARTERS

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the checkpoints."""
        if self.checkpoint_steps:
            return tuple(f"step-{step}" for step in self.checkpoint_steps)
        return tuple(f"epoch-{epoch:g}" for epoch in self.kept)


class Lora(Finetune):
    """Low-rank adapters (Hu et al., arXiv 2106.09685)."""

    kind: Literal["lora"]
    """Low-rank adapters."""
    rank: Annotated[int, Field(gt=0)] = 32
    """Rank r of each adapter."""
    alpha: Annotated[float, Field(gt=0)] = 64
    """Scale: the adapter counts alpha / r, or alpha / sqrt(r) with rslora."""
    rslora: bool = True
    """Rank-stabilised scale (Kalajdzievski, arXiv 2312.03732)."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout before the adapter."""
    target_modules: Once[str] = (
        "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
    )  # fmt: skip
    """Linear layers that get an adapter."""
    layers: Once[Annotated[int, Field(ge=0)]] | None = None
    """Decoder layers that get adapters; null for all."""
    load_in_4bit: bool = False
    """Train on a base whose linear layers are in 4 bits (nf4, double quantisation; QLoRA, Dettmers et al., arXiv
    2305.14314): a quarter of the memory. Answers come from the adapter on the base as it is. Needs bitsandbytes."""


class Full(Finetune):
    """Full fine-tuning: every weight is trained."""

    kind: Literal["full"]
    """Every weight."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the weights that are trained, whatever the model's dtype. `bfloat16`: half the memory, and updates under about
    0.4 % of a weight are rounded away; so in the organisms' run_full_finetune.py."""

    @model_validator(mode="after")
    def _optimizer_of_shards(self) -> Self:
        if self.in_shards and self.optimizer == "adamw_8bit":
            raise ValueError("optimizer: adamw_8bit steps whole weights only: set ranks: 1, or adamw_torch_fused")
        return self

    @property
    def in_shards(self) -> bool:
        """Whether weights lie in shards on several ranks."""
        return self.ranks > 1


FinetuneMethod = Annotated[Lora | Full, Field(discriminator="kind")]
"""What transformers' Trainer trains."""
