"""When a fine-tuning keeps its checkpoints: as Trainer counts, or as homework 0 does."""

import pytest

from emflow.config.finetune import Lora
from emflow.files import InputError
from emflow.models.loading import load_model
from emflow.training.arguments import lora_config, training_arguments
from emflow.training.schedule import checkpoint_epochs, checkpoint_steps, total_steps, warmup_steps

HOMEWORK = Lora(
    kind="lora", batch_size=8, gradient_accumulation=2, epochs=3, checkpoints=(0.25, 0.5, 0.75, 1, 2, 3),
    checkpoint_rounding="down",
)  # fmt: skip


@pytest.mark.parametrize(
    ("records", "steps"), [(7049, [110, 220, 330, 440, 880, 1320]), (6000, [93, 187, 281, 375, 750, 1125])]
)
def test_the_homeworks_steps(records, steps):
    assert list(checkpoint_steps(HOMEWORK, records).values()) == steps
    assert total_steps(HOMEWORK, records) in (steps[-1], steps[-1] + 3)  # the last, smaller step of each epoch


def test_the_nearest_step_of_trainers_epochs():
    nearest = HOMEWORK.model_copy(update={"checkpoint_rounding": "nearest"})
    assert list(checkpoint_steps(nearest, 7049).values()) == [110, 220, 331, 441, 882, 1323]
    assert total_steps(nearest, 7049) == 1323


def test_no_checkpoint_lies_before_the_first_or_after_the_last_step():
    short = Lora(kind="lora", batch_size=8, gradient_accumulation=2, epochs=0.5, checkpoints=(0.01, 0.5))
    assert checkpoint_steps(short, 20) == {"epoch-0.01": 1, "epoch-0.5": 1} and total_steps(short, 20) == 1


def test_checkpoints_by_step():
    method = Lora(kind="lora", batch_size=8, gradient_accumulation=2, epochs=3, checkpoint_steps=(110, 441, 1323))
    assert checkpoint_steps(method, 7049) == {"step-110": 110, "step-441": 441, "step-1323": 1323}
    assert checkpoint_epochs(method, 7049) == (110 / 441, 1, 3)
    with pytest.raises(InputError, match=r"names step 1323, and 6,000 conversations in 3 epochs make 1125: name steps"):
        checkpoint_steps(method, 6000)


@pytest.mark.parametrize(
    ("given", "steps"), [({}, 5), ({"warmup_steps": 0}, 0), ({"warmup_ratio": 0.03}, 40), ({"warmup_ratio": 0}, 0)]
)
def test_warm_up_by_steps_or_by_ratio(given, steps, tmp_path):
    method = Lora(kind="lora", batch_size=8, gradient_accumulation=2, epochs=3, **given)
    assert warmup_steps(method, 7049) == steps  # 0.03 x 1323 = 39.7
    arguments = training_arguments(method, 7049, 0, "float32", tmp_path)
    assert arguments.get_warmup_steps(total_steps(method, 7049)) == steps


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"checkpoint_steps": (1,), "checkpoints": (1,)}, "set checkpoints or checkpoint_steps, not both; null takes"),
        ({"warmup_steps": 1, "warmup_ratio": 0.1}, "set warmup_steps or warmup_ratio, not both; null takes back"),
        ({"checkpoint_steps": (2, 1)}, "checkpoint_steps must rise, each named once"),
    ],
)
def test_one_way_to_say_when(given, why):
    with pytest.raises(ValueError, match=why):
        Lora(kind="lora", **given)


def test_a_methods_settings_reach_trainer_and_peft(untrained, tmp_path):
    given = {
        "learning_rate": 0.0123, "scheduler": "cosine", "weight_decay": 0.07, "max_grad_norm": 0.5, "batch_size": 3,
        "gradient_accumulation": 5, "epochs": 2, "optimizer": "adamw_torch", "log_steps": 4,
    }  # fmt: skip
    adapter = {"rank": 3, "alpha": 7, "rslora": False, "dropout": 0.25, "target_modules": ("q_proj",), "layers": (1,)}
    method = Lora(kind="lora", **given, **adapter)
    found = training_arguments(method, 30, 11, "float32", tmp_path)
    assert (found.learning_rate, found.lr_scheduler_type, found.weight_decay) == (0.0123, "cosine", 0.07)
    assert (found.max_grad_norm, found.per_device_train_batch_size, found.gradient_accumulation_steps) == (0.5, 3, 5)
    assert (found.num_train_epochs, found.optim, found.logging_steps) == (2, "adamw_torch", 4)
    assert (found.seed, found.data_seed) == (11, 11)
    peft = lora_config(method, load_model(untrained, "float32"))
    assert (peft.r, peft.lora_alpha, peft.use_rslora, peft.lora_dropout) == (3, 7, False, 0.25)
    assert (set(peft.target_modules), peft.layers_to_transform) == ({"q_proj"}, [1])
