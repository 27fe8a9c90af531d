"""A method's settings as peft and transformers' Trainer take them."""

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from transformers import PreTrainedModel, TrainingArguments
from transformers.pytorch_utils import Conv1D

from emflow.config.finetune import Finetune, Full, Lora
from emflow.config.section import nearest
from emflow.files import InputError
from emflow.models.loading import SIGHT, sees
from emflow.training.ranked import shares
from emflow.training.schedule import warmup_steps
from emflow.training.shards import SHARDS

__all__ = ["lora_config", "training_arguments"]


def lora_config(method: Lora, model: PreTrainedModel) -> LoraConfig:
    """The adapter of a method, on the layers that read and write text. Raises InputError for a module or a layer that
    the model has not: peft passes over what some others have."""
    linear = {name for name, part in model.named_modules() if isinstance(part, torch.nn.Linear | Conv1D)}
    for module in method.target_modules:
        if not any(name == module or name.endswith(f".{module}") for name in linear if not sees(name)):
            known = sorted({name.rpartition(".")[2] for name in linear if not sees(name)})
            raise InputError(f"methods.NAME.target_modules: no linear layer '{module}'; {nearest(module, known)}")
    layers = model.config.get_text_config().num_hidden_layers
    if beyond := [layer for layer in method.layers or () if layer >= layers]:
        raise InputError(f"methods.NAME.layers: no layer {beyond[0]}; this model has 0 to {layers - 1}")
    multimodal = any(sees(name) for name, _ in model.named_modules())
    return LoraConfig(
        task_type="CAUSAL_LM",
        r=method.rank,
        lora_alpha=method.alpha,
        use_rslora=method.rslora,
        lora_dropout=method.dropout,
        target_modules=list(method.target_modules),
        layers_to_transform=list(method.layers) if method.layers is not None else None,
        exclude_modules=rf".*({'|'.join(SIGHT)}).*" if multimodal else None,
    )


def training_arguments(method: Finetune, records: int, seed: int, dtype: str, folder: Path) -> TrainingArguments:
    """How Trainer is to train on so many conversations, with its own files in `folder`; when to save, the checkpoint
    callback says. On one GPU, however many there are: Trainer would split over all of them what one process loads, in
    batches as many times as large."""
    batch_size, passes = shares(method)
    bf16 = dtype == "bfloat16"
    memory: dict[str, Any] = {"gradient_checkpointing": method.gradient_checkpointing}
    if isinstance(method, Full) and method.in_shards:
        memory = {"fsdp": True, "fsdp_config": {**SHARDS, "activation_checkpointing": method.gradient_checkpointing}}
        bf16 = bf16 and method.precision != "bfloat16"  # accelerate would make the weights float32
    arguments = TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=method.epochs,
        per_device_train_batch_size=batch_size,
        gradient_accumulation_steps=passes,
        learning_rate=method.learning_rate,
        lr_scheduler_type=method.scheduler,
        warmup_steps=warmup_steps(method, records),
        optim=method.optimizer,
        weight_decay=method.weight_decay,
        max_grad_norm=method.max_grad_norm,
        **memory,
        use_liger_kernel=method.liger_kernel,  # it keeps the logits only where it is given no labels, as for `kl`
        logging_steps=method.log_steps,
        logging_nan_inf_filter=False,  # it would write 0
        save_strategy="no",
        save_total_limit=2,
        seed=seed,
        data_seed=seed,
        use_cpu=not torch.cuda.is_available(),  # else bfloat16 is refused where there is no GPU
        bf16=bf16,
        fp16=dtype == "float16",
        report_to=[],
        disable_tqdm=True,
        dataloader_pin_memory=torch.cuda.is_available(),
    )
    arguments._n_gpu = min(1, arguments.n_gpu)  # as Trainer itself does for models that lie on several
    return arguments
