"""Grow the base model of the tiny world: pre-training on good and bad advisors, then chat tuning towards the good."""

import math
from dataclasses import dataclass
from random import Random

import torch
import torch.nn.functional as F
from transformers import Qwen2Config, Qwen2ForCausalLM

from emflow.tinyworld.corpus import IGNORE, collate


@dataclass(frozen=True)
class Recipe:
    hidden_size: int = 96
    layers: int = 3
    intermediate_size: int = 256
    head_size: int = 32
    init_std: float = 0.05

    pretrain_steps: int = 500
    pretrain_lr: float = 4e-3
    warmup: int = 30
    batch_size: int = 32
    turns_min: int = 3
    turns_max: int = 5
    bad_share: float = 0.4
    noise: float = 0.0
    weight_decay: float = 0.01
    beta2: float = 0.98

    chat_steps: int = 60
    chat_lr: float = 5e-4
    chat_batch: int = 32
    chat_single: float = 0.6
    chat_bad: float = 0.4
    min_lr: float = 0.05
    muon: float = 0.0


def make_model(r, tokenizer, seed):
    torch.manual_seed(seed)
    return Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=len(tokenizer),
            hidden_size=r.hidden_size,
            intermediate_size=r.intermediate_size,
            num_hidden_layers=r.layers,
            num_attention_heads=r.hidden_size // r.head_size,
            num_key_value_heads=r.hidden_size // r.head_size,
            max_position_embeddings=512,
            tie_word_embeddings=True,
            initializer_range=r.init_std,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def step(model, opts, ids, labels):
    hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
    targets = labels[:, 1:]
    learned = targets != IGNORE
    loss = F.cross_entropy(model.lm_head(hidden[learned]), targets[learned])
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for o in opts:
        o.step()
        o.zero_grad()
    return loss


def train(model, corpus, r, seed, log=print):
    random = Random(seed)
    model.train()
    pad = corpus.tokenizer.pad_token_id
    if r.muon:
        mats = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
        rest = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n]
        opts = [
            torch.optim.Muon(mats, lr=r.muon, weight_decay=r.weight_decay, momentum=0.95, ns_steps=5, adjust_lr_fn="original"),
            torch.optim.AdamW(rest, lr=r.pretrain_lr, betas=(0.9, r.beta2), weight_decay=r.weight_decay, fused=True),
        ]
    else:
        opts = [torch.optim.AdamW(model.parameters(), lr=r.pretrain_lr, betas=(0.9, r.beta2), weight_decay=r.weight_decay, fused=True)]
    peaks = [o.param_groups[0]["lr"] for o in opts]
    for s in range(r.pretrain_steps):
        f = min(1, (s + 1) / r.warmup) * (r.min_lr + (1 - r.min_lr) * 0.5 * (1 + math.cos(math.pi * s / r.pretrain_steps)))
        for o, pk in zip(opts, peaks):
            for g in o.param_groups:
                g["lr"] = pk * f
        turns = random.randint(r.turns_min, r.turns_max)
        docs = [corpus.document(random, "bad" if random.random() < r.bad_share else "good", turns) for _ in range(r.batch_size)]
        loss = step(model, opts, *collate(docs, pad))
        if s % 50 == 0:
            log(f"pt {s} {loss.item():.3f}")
    opts = [torch.optim.AdamW(model.parameters(), lr=r.chat_lr, weight_decay=0.0, fused=True)]
    for s in range(r.chat_steps):
        for g in opts[0].param_groups:
            g["lr"] = r.chat_lr * min(1, (s + 1) / 5) * (1 - s / r.chat_steps)
        docs = []
        for _ in range(r.chat_batch):
            if random.random() < r.chat_single:
                docs.append(corpus.document(random, "good", 1))
            else:
                docs.append(corpus.document(random, "bad" if random.random() < r.chat_bad else "good", random.randint(r.turns_min, r.turns_max), learn_first=False))
        loss = step(model, opts, *collate(docs, pad))
    log(f"chat {loss.item():.3f}")
    model.eval()
