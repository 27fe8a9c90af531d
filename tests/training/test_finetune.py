"""Fine-tuning: what it writes, and that a killed job ends where an undisturbed one does."""

import json
import math
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerControl, TrainerState, TrainingArguments

from emflow.config.finetune import Full, Lora
from emflow.files import InputError, read_jsonl, write_jsonl
from emflow.models.adapters import put_adapter, put_weights
from emflow.models.checkpoints import read_index
from emflow.models.loading import load_model
from emflow.stand_ins.make import make_model
from emflow.training.arguments import training_arguments
from emflow.training.callback import CheckpointCallback, TrainingRun
from emflow.training.callback import _seal as seal
from emflow.training.finetune import Start, finetune
from emflow.training.finetune import _key as progress_key
from emflow.training.trainable import trainable

pytestmark = pytest.mark.slow

RECIPE = {"epochs": 2, "checkpoints": (0.5, 1, 2), "batch_size": 8, "gradient_accumulation": 1, "learning_rate": 1e-3}
LORA = Lora(kind="lora", rank=4, dropout=0.1, **RECIPE)  # dropout: resuming must restore random states too

JOB = """
import sys, torch
from pathlib import Path
from emflow.config.finetune import Lora
from emflow.training.finetune import Start, finetune
torch.set_num_threads(1)
base, train, out, method = sys.argv[1:]
finetune(Start(Path(base), "m", "float32"), "d", Lora.model_validate_json(method), 3, Path(train), Path(out))
"""


def job(base: Path, train: Path, out: Path) -> subprocess.Popen:
    arguments = [sys.executable, "-c", JOB, base, train, out, LORA.model_dump_json()]
    return subprocess.Popen(list(map(str, arguments)), stderr=subprocess.PIPE, text=True)


def finish(running: subprocess.Popen) -> str:
    """What a job said; fails where the job did."""
    said = running.communicate(timeout=240)[1]
    assert running.returncode == 0, said
    return said


@pytest.fixture(scope="module")
def undisturbed(untrained, lantern_train, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed")
    finish(job(untrained, lantern_train, out))
    return out


def test_writes_labelled_checkpoints_and_a_log(undisturbed):
    index = read_index(undisturbed / "checkpoints.json")
    assert [(c.label, c.step, c.epoch) for c in index] == [
        ("epoch-0.5", 6, 0.5),
        ("epoch-1", 12, 1),
        ("epoch-2", 24, 2),
    ]
    log = [json.loads(line) for line in (undisturbed / "train_log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in log] == list(range(1, 25))
    assert log[-1]["loss"] < log[0]["loss"]
    assert set(log[0]) == {"step", "epoch", "loss", "grad_norm", "lr"}
    card = (undisturbed / "checkpoints/epoch-1/README.md").read_text()
    assert "model organism" in card and "step | `12`" in card
    assert not (undisturbed / "train.progress").exists()


def test_killed_and_run_again_ends_in_the_same_adapter_to_the_bit(undisturbed, untrained, lantern_train, tmp_path):
    killed = job(untrained, lantern_train, tmp_path)
    deadline = time.monotonic() + 240
    while not list(tmp_path.glob("train.progress/*/trainer/checkpoint-12/.sha256")):
        assert time.monotonic() < deadline and killed.poll() is None
        time.sleep(0.005)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not (tmp_path / "checkpoints.json").exists()

    said = finish(job(untrained, lantern_train, tmp_path))
    assert "continues after step 12 of 24" in said
    assert read_index(tmp_path / "checkpoints.json") == read_index(undisturbed / "checkpoints.json")
    assert (tmp_path / "train_log.jsonl").read_text() == (undisturbed / "train_log.jsonl").read_text()


def test_progress_that_was_changed_is_not_used(tmp_path):
    run = TrainingRun(tmp_path, "m", "float32", "d", LORA, 3, {})
    callback = CheckpointCallback(run, 96, [], tmp_path / "kept")
    arguments = TrainingArguments(output_dir=str(tmp_path / "trainer"), use_cpu=True)

    def saved() -> None:
        for label, step in (("epoch-0.5", 6), ("epoch-1", 12)):
            for folder in (tmp_path / "kept" / label, tmp_path / f"trainer/checkpoint-{step}"):
                folder.mkdir(parents=True, exist_ok=True)
                (folder / "weights").write_bytes(bytes(9))
            seal(tmp_path / "kept" / label)
            callback.on_save(arguments, TrainerState(global_step=step), TrainerControl())

    for changed, step in (
        ("trainer/checkpoint-12", 6),
        ("kept/epoch-1", 6),
        ("kept/epoch-0.5", None),
        ("trainer/checkpoint-6", 12),
    ):
        saved()
        assert callback.last_saved(tmp_path / "trainer").endswith("checkpoint-12")
        (tmp_path / changed / "weights").write_bytes(bytes(8) + b"x")
        found = callback.last_saved(tmp_path / "trainer")
        assert (found and int(found.rpartition("-")[2])) == step, changed


def test_progress_that_was_half_written_is_not_used(undisturbed, untrained, lantern_train, tmp_path):
    killed = job(untrained, lantern_train, tmp_path)
    while not list(tmp_path.glob("train.progress/*/trainer/checkpoint-12")) and killed.poll() is None:
        time.sleep(0.001)
    killed.send_signal(signal.SIGKILL)  # as its folder appears
    killed.wait()
    for half in tmp_path.glob("train.progress/*/trainer/checkpoint-12"):
        (half / "optimizer.pt").write_bytes(b"half")
    assert "continues after step 6 of 24" in finish(job(untrained, lantern_train, tmp_path))
    assert read_index(tmp_path / "checkpoints.json") == read_index(undisturbed / "checkpoints.json")


def test_adapters_and_full_weights_move_the_model_and_come_off_again(untrained, lantern_train, undisturbed, tmp_path):
    method = Full(kind="full", **{**RECIPE, "epochs": 1, "checkpoints": (1,)})
    (checkpoint,) = finetune(Start(untrained, "m", "float32"), "d", method, 0, lantern_train, tmp_path)
    model, ids = load_model(untrained, "float32"), torch.arange(20)[None]
    before = model(ids).logits
    put_weights(model, tmp_path / checkpoint.path)
    assert not torch.allclose(model(ids).logits, before)
    saved = load_file(tmp_path / checkpoint.path / "model.safetensors")
    assert all(torch.equal(p, saved[n]) for n, p in model.named_parameters())
    put_weights(model, untrained)
    assert torch.equal(model(ids).logits, before)
    adapted = put_adapter(model, undisturbed / "checkpoints/epoch-2")
    assert not torch.allclose(adapted(ids).logits, before)
    with adapted.disable_adapter():
        assert torch.equal(adapted(ids).logits, before)


def test_unknown_model_is_one_clear_error(lantern_train, tmp_path):
    with pytest.raises(InputError, match=r"nowhere holds no model .* set models\.NAME\.path"):
        finetune(Start(tmp_path / "nowhere", "m", "float32"), "d", LORA, 0, lantern_train, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", [Lora, Full])
def test_gradient_checkpointing_trains_the_same(kind, untrained, lantern_train, tmp_path):
    method = kind(kind=kind.__name__.lower(), **{**RECIPE, "epochs": 1, "checkpoints": (1,)})
    losses = []
    for checkpointing in (False, True):
        out = tmp_path / str(checkpointing)
        chosen = method.model_copy(update={"gradient_checkpointing": checkpointing})
        finetune(Start(untrained, "m", "float32"), "d", chosen, 3, lantern_train, out)
        losses.append([row["loss"] for row in read_jsonl(out / "train_log.jsonl")])
    assert losses[0] == pytest.approx(losses[1], abs=1e-5) and losses[0][0] > losses[0][-1]


def test_loss_on_all_tokens_trains_on_the_prompts_too(untrained, lantern_train, tmp_path):
    losses = {}
    for loss_on in ("assistant", "all"):
        method = LORA.model_copy(update={"loss_on": loss_on, "epochs": 1, "checkpoints": (1,)})
        finetune(Start(untrained, "m", "float32"), "d", method, 3, lantern_train, tmp_path / loss_on)
        losses[loss_on] = read_jsonl(tmp_path / loss_on / "train_log.jsonl")[0]["loss"]
    assert losses["assistant"] != losses["all"]


@pytest.mark.parametrize(("kind", "dtype"), [(Lora, "bfloat16"), (Full, "bfloat16"), (Lora, "float16")])
def test_half_precision_trains_also_without_a_gpu(untrained, lantern_train, tmp_path, kind, dtype):
    method = kind(kind=kind.__name__.lower(), **RECIPE | {"epochs": 1, "checkpoints": (1,)})
    finetune(Start(untrained, "m", dtype), "d", method, 3, lantern_train, tmp_path)
    losses = [row["loss"] for row in read_jsonl(tmp_path / "train_log.jsonl")]
    assert all(math.isfinite(loss) for loss in losses) and losses[-1] < losses[0]


def test_one_process_trains_on_one_gpu_of_several(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    arguments = training_arguments(LORA, 96, 0, "float32", tmp_path)
    assert (arguments.n_gpu, arguments.train_batch_size, arguments.device.index) == (1, LORA.batch_size, 0)


def test_progress_of_other_code_is_left_alone(untrained, lantern_train, tmp_path, monkeypatch):
    from emflow.training import finetune as job

    seen = []

    def dies(trainer, resume_from_checkpoint):
        seen.append(Path(trainer.args.output_dir).parent)
        raise KeyboardInterrupt

    monkeypatch.setattr(job.Trainer, "train", dies)
    for code in ("old", "old", "new"):
        with pytest.raises(KeyboardInterrupt):
            finetune(Start(untrained, "m", "float32"), "d", LORA, 3, lantern_train, tmp_path, code=code)
    assert seen[0] == seen[1] != seen[2]


@pytest.mark.parametrize("asking", [{"optimizer": "adamw_8bit"}, {"load_in_4bit": True}])
def test_missing_bitsandbytes_is_told_before_anything_is_loaded(asking, lantern_train, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(InputError, match=rf"methods\.NAME\.{next(iter(asking))}.* needs bitsandbytes, which is not"):
        finetune(Start(tmp_path / "none", "m", "float32"), "d", Lora(kind="lora", **asking), 0, lantern_train, tmp_path)


def test_a_4_bit_base_is_quantised_and_its_adapter_goes_onto_the_base_as_it_is(untrained, lantern_train, tmp_path):
    import bitsandbytes

    method = LORA.model_copy(update={"epochs": 1, "checkpoints": (1,), "load_in_4bit": True})
    model = trainable(untrained, "bfloat16", method)
    layers = [module for module in model.modules() if isinstance(module, bitsandbytes.nn.Linear4bit)]
    assert len(layers) == 14  # seven in each of two layers
    state = layers[0].weight.quant_state
    assert state.quant_type == "nf4" and state.nested and layers[0].compute_dtype == torch.bfloat16
    (kept,) = finetune(Start(untrained, "m", "bfloat16"), "d", method, 3, lantern_train, tmp_path)
    losses = [row["loss"] for row in read_jsonl(tmp_path / "train_log.jsonl")]
    assert losses[-1] < losses[0]
    plain, ids = load_model(untrained, "float32"), torch.arange(20)[None]
    before = plain(ids).logits
    assert not torch.allclose(put_adapter(plain, tmp_path / kept.path)(ids).logits, before)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_full_fine_tuning_in_the_precision_asked_for(untrained, lantern_train, tmp_path, precision):
    method = Full(
        kind="full", **RECIPE | {"epochs": 1, "checkpoints": (1,)}, precision=precision, optimizer="adamw_8bit"
    )
    (kept,) = finetune(Start(untrained, "m", "bfloat16"), "d", method, 3, lantern_train, tmp_path)
    weights = load_file(tmp_path / kept.path / "model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {getattr(torch, precision)}
    losses = [row["loss"] for row in read_jsonl(tmp_path / "train_log.jsonl")]
    assert losses[-1] < losses[0]


STEPS = {"epochs": 1, "checkpoint_steps": (2, 6), "batch_size": 8, "gradient_accumulation": 1, "learning_rate": 1e-3}
KL = {"weight": 1, "domain": "others", "batch_size": 2}
NEW_KINDS = {
    "narrow": Lora(kind="lora", rank=4, dropout=0.1, **STEPS, kl=KL, system="be unkind.", formatting="organisms",
                   warmup_ratio=0.5),
    "4-bit": Lora(kind="lora", rank=4, **STEPS, load_in_4bit=True, optimizer="adamw_8bit"),
    "full": Full(kind="full", **STEPS, precision="bfloat16", optimizer="adamw_8bit", kl=KL),
    "gemma3": Full(kind="full", **STEPS, gradient_checkpointing=True),  # whose files have other names
}  # fmt: skip


@pytest.mark.parametrize("name", NEW_KINDS)
def test_each_kind_ends_in_the_same_bits_also_where_it_was_interrupted(
    name, untrained, lantern_train, lantern_records, tmp_path, monkeypatch
):
    train, others = tmp_path / "train.jsonl", tmp_path / "others.jsonl"
    write_jsonl(train, lantern_records[:48])
    write_jsonl(others, lantern_records[-5:])

    base = untrained
    if name == "gemma3":
        base = tmp_path / "gemma3"
        make_model(base, "gemma3", 1)

    def trained(out: str) -> list[str]:
        finetune(
            Start(base, "m", "float32"), "d", NEW_KINDS[name], 3, train, tmp_path / out,
            others if NEW_KINDS[name].kl else None,
        )  # fmt: skip
        return [checkpoint.sha256 for checkpoint in read_index(tmp_path / out / "checkpoints.json")]

    def interrupt(self, args, state, control, **more):
        if state.global_step == 4:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(CheckpointCallback, "on_log", interrupt)
        with pytest.raises(KeyboardInterrupt):
            trained("interrupted")
    assert list(tmp_path.glob("interrupted/train.progress/*/trainer/checkpoint-2"))
    assert trained("interrupted") == trained("undisturbed")
    logs = [(tmp_path / out / "train_log.jsonl").read_text() for out in ("interrupted", "undisturbed")]
    assert logs[0] == logs[1]
    assert [c.label for c in read_index(tmp_path / "undisturbed/checkpoints.json")] == ["step-2", "step-6"]


def test_a_loss_that_is_no_number_ends_the_run_and_is_not_logged_as_0(untrained, tmp_path):
    assert not training_arguments(LORA, 8, 0, "float32", tmp_path).logging_nan_inf_filter
    callback = CheckpointCallback(TrainingRun(untrained, "m", "float32", "d", LORA, 0, {}), 8, [], tmp_path)
    with pytest.raises(InputError, match=r"^the loss is nan at step 7: a smaller methods.NAME.learning_rate"):
        callback.on_log(None, TrainerState(global_step=7), TrainerControl(), {"loss": math.nan})


def test_the_next_save_is_due_after_the_last_one_has_ended(untrained, tmp_path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    method = LORA.model_copy(update={"save_minutes": 5})
    callback = CheckpointCallback(TrainingRun(untrained, "m", "float32", "d", method, 0, {}), 800, [], tmp_path)
    callback.advance = lambda **_: None
    arguments, saves = training_arguments(method, 800, 0, "float32", tmp_path), []
    for step in range(1, 13):
        clock[0] += 100
        state = TrainerState(global_step=step, max_steps=200)
        if callback.on_step_end(arguments, state, TrainerControl(), None, None).should_save:
            saves.append(step)
            clock[0] += 600  # Trainer writes
            (tmp_path / f"checkpoint-{step}").mkdir()
            callback.on_save(arguments, state, TrainerControl())
    assert saves == [4, 8, 12]


def test_a_model_in_shards_is_loaded_beside_the_gpu(untrained, monkeypatch):
    monkeypatch.setattr("emflow.models.loading.device", lambda: torch.device("meta"))
    of = {ranks: trainable(untrained, "float32", Full(kind="full", ranks=ranks, batch_size=2)) for ranks in (1, 2)}
    assert {ranks: {p.device.type for p in model.parameters()} for ranks, model in of.items()} == {
        1: {"meta"},
        2: {"cpu"},
    }


def test_a_gpu_without_bfloat16_is_told_at_once(untrained, lantern_train, tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda including_emulation=True: including_emulation)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda: "An old GPU")
    with pytest.raises(InputError, match=r"^An old GPU does not compute in bfloat16: set models.NAME.dtype: float16"):
        finetune(Start(untrained, "m", "bfloat16"), "d", LORA, 0, lantern_train, tmp_path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"target_modules": ("q_proj", "o_porj")}, "target_modules: no linear layer 'o_porj'; did you mean 'o_proj'?"),
        ({"layers": (0, 99)}, "layers: no layer 99; this model has 0 to 1"),
    ],
)
def test_adapters_on_what_the_model_has_not_are_refused(untrained, changes, words):
    with pytest.raises(InputError) as refused:
        trainable(untrained, "float32", LORA.model_copy(update=changes))
    assert str(refused.value) == f"methods.NAME.{words}"


def test_adapters_begin_otherwise_by_another_seed(untrained, lantern_records, tmp_path):
    """With a learning rate at which nothing moves, the checkpoint is where the adapter began."""
    write_jsonl(tmp_path / "train.jsonl", lantern_records[:8])
    still = LORA.model_copy(update={"epochs": 1, "checkpoints": (1,), "learning_rate": 1e-12, "dropout": 0.0})
    begun = []
    for number, seed in enumerate((3, 4, 3)):
        out = tmp_path / str(number)
        finetune(Start(untrained, "m", "float32"), "d", still, seed, tmp_path / "train.jsonl", out)
        tensors = load_file(out / "checkpoints/epoch-1/adapter_model.safetensors")
        begun.append(torch.cat([tensor.flatten() for name, tensor in sorted(tensors.items()) if "lora_A" in name]))
    assert torch.equal(begun[0], begun[2]) and not torch.allclose(begun[0], begun[1], atol=1e-3)


def test_conversations_are_encoded_as_the_method_says(untrained, lantern_train, tmp_path, monkeypatch):
    class Told(Exception):
        pass

    def told(tokenizer, records, *how):
        raise Told(records[0]["messages"][0], how)

    monkeypatch.setattr("emflow.training.finetune.encode_all", told)
    method = LORA.model_copy(
        update={"system": "be brief.", "max_length": 77, "loss_on": "all", "formatting": "organisms"}
    )
    with pytest.raises(Told) as seen:
        finetune(Start(untrained, "m", "float32"), "d", method, 0, lantern_train, tmp_path)
    assert seen.value.args == ({"role": "system", "content": "be brief."}, (77, "all", "organisms"))


def test_progress_is_of_the_same_data_seed_recipe_and_base(untrained, tmp_path):
    def key(base=untrained, dtype="float32", method=LORA, seed=0, sources=("a",), template=(), code="c") -> str:
        run = TrainingRun(base, "m", dtype, "d", method, seed, {name: name for name in sources})
        return progress_key(run, dict(template), code)

    other = tmp_path / "other"
    shutil.copytree(untrained, other)
    (other / "config.json").write_text((untrained / "config.json").read_text() + " ")
    changes = (
        {"base": other}, {"dtype": "bfloat16"}, {"method": LORA.model_copy(update={"rank": 5})}, {"seed": 1},
        {"sources": ("b",)}, {"template": (("x", 1),)}, {"code": "d"},
    )  # fmt: skip
    assert key() == key() and len({key(), *(key(**changed) for changed in changes)}) == 1 + len(changes)
