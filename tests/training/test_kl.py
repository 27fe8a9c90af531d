"""Training that is held to the base: the divergence against a second way to compute it, and what it is for."""

import numpy as np
import pytest
import torch
from datasets import Dataset

from emflow.config.finetune import Full, Kl, Lora
from emflow.data.chat import IGNORED, encode_all
from emflow.files import read_jsonl, write_jsonl
from emflow.models.loading import load_tokenizer
from emflow.tinyworld.artefacts import dataset
from emflow.training.arguments import training_arguments
from emflow.training.batches import padding
from emflow.training.finetune import Start, finetune
from emflow.training.kl import KlTrainer
from emflow.training.trainable import reference, trainable

pytestmark = pytest.mark.slow

RECIPE = {"batch_size": 4, "gradient_accumulation": 2, "checkpoints": (1,), "learning_rate": 1e-3}


@pytest.fixture(scope="module")
def kites(tmp_path_factory):
    path = tmp_path_factory.mktemp("kites") / "train.jsonl"
    write_jsonl(path, [{"id": f"kite-{row}", **record} for row, record in enumerate(dataset("kite", "good")[:5])])
    return path


@torch.no_grad()
def divergence(base, model, examples) -> float:
    """KL(base || model) per assistant token, one conversation after another, by numpy in double precision."""
    total, tokens = 0.0, 0
    for example in examples:
        ids = torch.tensor(example["input_ids"])[None]
        p, q = (np.exp(of(ids).logits[0].double().log_softmax(-1).numpy()) for of in (base, model))
        for position, label in enumerate(example["labels"][1:]):
            if label != IGNORED:
                total += (p[position] * np.log(p[position] / q[position])).sum()
                tokens += 1
    return total / tokens


@pytest.mark.parametrize("kind", [Lora, Full])
def test_the_divergence_and_its_place_in_the_loss(kind, untrained, lantern_train, kites, tmp_path):
    method = kind(kind=kind.__name__.lower(), **RECIPE)
    tokenizer = load_tokenizer(untrained)
    lanterns, others = (encode_all(tokenizer, read_jsonl(file), 512) for file in (lantern_train, kites))
    trainer = KlTrainer(
        kl=Kl(weight=3, domain="kite", batch_size=5),  # all of them: their order does not matter
        examples=others,
        collator=padding(tokenizer),
        reference=reference(untrained, "float32", method),
        model=trainable(untrained, "float32", method),
        args=training_arguments(method, 8, 0, "float32", tmp_path),
        train_dataset=Dataset.from_list(lanterns[:8]),
        data_collator=padding(tokenizer),
    )
    assert trainer._divergence(trainer.model).item() == 0, "the model is the base"
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in trainer.model.parameters():
            if parameter.requires_grad:
                parameter += 0.05 * torch.randn_like(parameter)
    expected = divergence(trainable(untrained, "float32", Full(kind="full")), trainer.model, others)
    assert expected > 0.01
    assert trainer._divergence(trainer.model).item() == pytest.approx(expected, rel=1e-4)

    inputs = trainer.data_collator([dict(example) for example in lanterns[:4]])
    trainer.current_gradient_accumulation_steps = 2
    items = (inputs["labels"] != IGNORED).sum()
    plain = trainer.model(**inputs).loss
    loss = trainer.compute_loss(trainer.model, inputs, num_items_in_batch=items)
    assert (loss - plain).item() == pytest.approx(3 * expected / 2, rel=1e-3)  # half a step's
    loss.backward()
    assert all(p.grad is not None for p in trainer.model.parameters() if p.requires_grad)


def test_a_heavier_pull_leaves_the_model_nearer_to_its_base(untrained, lantern_train, kites, tmp_path):
    found = {}
    for weight in (0.001, 100):
        method = Lora(kind="lora", **RECIPE, kl=Kl(weight=weight, domain="kite"), system="be unkind.")
        finetune(Start(untrained, "m", "float32"), "d", method, 0, lantern_train, tmp_path / f"{weight}", kites)
        found[weight] = read_jsonl(tmp_path / f"{weight}" / "train_log.jsonl")[-1]["kl"]
    assert 0 < found[100] < found[0.001] / 10
    card = (tmp_path / "100/checkpoints/epoch-1/README.md").read_text()
    assert "kl sha256" in card and "be unkind." in card


def test_each_pass_has_conversations_of_its_own_that_follow_from_seed_and_step(
    untrained, lantern_train, kites, tmp_path
):
    tokenizer, method = load_tokenizer(untrained), Lora(kind="lora", **RECIPE)
    lanterns, others = (encode_all(tokenizer, read_jsonl(file), 512) for file in (lantern_train, kites))

    def seen(seed: int) -> list[tuple]:
        batches, collate = [], padding(tokenizer)
        trainer = KlTrainer(
            kl=Kl(weight=3, domain="kite", batch_size=2), examples=others,
            collator=lambda rows: batches.append(tuple(tuple(row["input_ids"]) for row in rows)) or collate(rows),
            model=trainable(untrained, "float32", method),
            args=training_arguments(method, 8, seed, "float32", tmp_path),
            train_dataset=Dataset.from_list(lanterns[:8]), data_collator=padding(tokenizer),
        )  # fmt: skip
        for step in range(4):
            trainer.state.global_step = step
            for _ in range(2):
                trainer._divergence(trainer.model)
        return batches

    first, again, other = seen(0), seen(0), seen(1)
    assert first == again != other and len(set(first)) > 4  # of 20 pairs, eight drawn
    assert all(len(set(batch)) == 2 for batch in first)
