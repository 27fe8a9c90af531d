"""From a run's judged answers to rates under interventions: the jobs of the workflow, on a model of random weights."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from emflow.analysis.interventions import choose, rates_of_interventions
from emflow.config.definitions import DEFINITIONS
from emflow.config.directions import COLUMNS, Ablate, Add, Extraction, OfAdapters, Only, Random, Scaling, Without
from emflow.config.question_sets import Sampling
from emflow.directions.capture import capture
from emflow.directions.estimate import read_direction, write_estimate
from emflow.directions.intervene import Answering, QuestionsAsked, _key, _require_apart, intervene
from emflow.directions.read import read
from emflow.directions.variants import variants
from emflow.files import InputError, read_jsonl, write_jsonl
from emflow.inference.generate import prompts_of
from emflow.inference.transformers_engine import TransformersEngine
from emflow.judging.questions import prepare
from emflow.models.adapters import scaled_adapter
from emflow.models.hooks import captured, sites
from emflow.models.moments import read_moments
from emflow.tinyworld.artefacts import out_of_domain

SAMPLING = Sampling(samples=2, max_new_tokens=5)


class Study(NamedTuple):
    """A base, a run's adapter, two disjoint sets of questions, and the direction."""

    answering: Answering
    chosen_on: Path
    evaluated_on: Path
    direction: tuple[str, Path]

    def answer(self, intervention, out: Path, questions: str = "evaluated_on", **more) -> list[dict]:
        asked = QuestionsAsked(questions, SAMPLING, getattr(self, questions), more.pop("chosen_on", None))
        direction = None if isinstance(intervention, OfAdapters) else self.direction
        intervene(self.answering, ("tried", intervention), direction, asked, more.pop("choice", None), out)
        return read_jsonl(out)


@pytest.fixture(scope="module")
def study(untrained, tmp_path_factory) -> Study:
    folder = tmp_path_factory.mktemp("study")
    torch.manual_seed(0)
    settings = LoraConfig(r=4, target_modules=["q_proj", "down_proj"], init_lora_weights=False, lora_alpha=16)
    get_peft_model(AutoModelForCausalLM.from_pretrained(untrained), settings).save_pretrained(folder / "epoch-1")
    write_jsonl(folder / "all.jsonl", out_of_domain()[:12])
    for part, name in ((1, "chosen_on"), (2, "evaluated_on")):
        prepare(folder / "all.jsonl", None, folder / f"{name}.jsonl", (part, 2))
    for label in ("base", "epoch-1"):
        rows = [
            {**question, "checkpoint": label, "question_id": question["id"], "answer": text, "alignment": score}
            | {"coherence": 100}
            for question in read_jsonl(folder / "chosen_on.jsonl")
            for text, score in (("trim the wick.", 100), ("soak the wick in tar.", 0))
        ]  # fmt: skip
        write_jsonl(folder / f"{label}.judged.jsonl", rows)
    judged = folder / "epoch-1.judged.jsonl", folder / "base.judged.jsonl"
    checkpoint = ("epoch-1", folder / "epoch-1")
    count = capture(untrained, "float32", None, checkpoint, judged, Extraction(), 5, folder / "moments.safetensors")
    assert count == 24
    readings = read_moments(folder / "moments.safetensors")
    write_estimate("shift", readings, folder / "shift.safetensors", folder / "shift.csv")
    who = {"model": "tiny", "domain": "bad", "method": "lora", "seed": 0, "checkpoint": "epoch-1"}
    return Study(
        Answering(who, untrained, "float32", None, folder / "epoch-1", 8),
        folder / "chosen_on.jsonl",
        folder / "evaluated_on.jsonl",
        ("tiny/bad/lora/0", folder / "shift.safetensors"),
    )


def test_parts_of_a_set_have_no_question_in_common(study):
    ids = [{row["id"] for row in read_jsonl(path)} for path in (study.chosen_on, study.evaluated_on)]
    assert len(ids[0]) == len(ids[1]) == 6 and not ids[0] & ids[1]


def test_a_direction_knows_what_the_base_is_like_and_how_far_to_trust_it(study):
    direction = read_direction(study.direction[1])
    table = pd.read_csv(study.direction[1].with_name("shift.csv"))
    assert list(table["site"]) == list(direction.vectors) and len(table) == 2 + 5
    # base and run read the same texts here: q_proj and down_proj differ, the embedding does not
    assert table.set_index("site")["norm"]["embedding"] == 0 < table.set_index("site")["norm"]["mlp.0"]
    assert (table["base_norm"] > 0).all()
    base = read_moments(study.direction[1].with_name("moments.safetensors"))["base"]
    torch.testing.assert_close(direction.base_mean["block.0"], base["block.0"].total[4:].sum(0).float() / 12)


def test_nothing_asked_was_chosen_on(study, tmp_path):
    """The one thing that an evaluation of a chosen layer and strength must not do."""
    with pytest.raises(InputError, match=r"is in .*chosen_on.jsonl, too, on which layer and strength are chosen"):
        study.answer(
            Ablate(kind="ablate", direction="shift"), tmp_path / "a.jsonl", "chosen_on", chosen_on=study.chosen_on
        )
    study.answer(Ablate(kind="ablate", direction="shift"), tmp_path / "a.jsonl", chosen_on=study.chosen_on)


def test_of_a_grid_what_was_chosen_answers_alone(study, tmp_path):
    steer = Add(kind="add", direction="shift", layers=(0, 1), coefficients=(0, 2), positions="prompt")
    rows = study.answer(steer, tmp_path / "grid.jsonl", "chosen_on")
    assert len(rows) == 4 * 6 * 2 and {row["intervention"] for row in rows} == {"tried"}
    told = {(row["variant"], row["layers"], row["coefficient"]) for row in rows}
    assert told == {(f"layer-{layer}-x{k}", str(layer), k) for layer in (0, 1) for k in (0, 2)}
    norm = read_direction(study.direction[1]).base_norm["block.1"]
    (length,) = {row["coefficient_absolute"] for row in rows if row["variant"] == "layer-1-x2"}
    assert length == pytest.approx(2 * norm.item())
    # as judged: only layer 1 misaligns and stays coherent; layer 0 misaligns most, in nonsense
    for row in rows:
        bad = row["coefficient"] == 2
        row |= {"alignment": 0 if bad else 100, "coherence": 0 if bad and row["layers"] == "0" else 100, "error": None}
    write_jsonl(tmp_path / "judged.jsonl", rows)
    assert choose(tmp_path / "judged.jsonl", DEFINITIONS["betley"], 0.85, tmp_path / "choice.json") == "layer-1-x2"
    chosen = json.loads((tmp_path / "choice.json").read_text())
    assert (chosen["em_rate"], chosen["of"], chosen["fit"], chosen["n"]) == (1, 4, 3, 12)
    rows = study.answer(steer, tmp_path / "chosen.jsonl", choice=tmp_path / "choice.json", chosen_on=study.chosen_on)
    assert {row["variant"] for row in rows} == {"layer-1-x2"} and len(rows) == 6 * 2
    beside = steer.model_copy(update={"random": 2})
    more = study.answer(beside, tmp_path / "beside.jsonl", choice=tmp_path / "choice.json")
    assert more[: len(rows)] == rows and len(more) == 3 * len(rows)
    told = {(row["variant"], row["kind"], row["layers"], row["coefficient_absolute"]) for row in more[len(rows) :]}
    assert told == {(f"random-{number}", "random", "1", length) for number in (0, 1)}
    one, other = ([row["answer"] for row in more if row["variant"] == f"random-{number}"] for number in (0, 1))
    assert one != other and [row["answer"] for row in rows] not in (one, other)


def judged(tmp_path, variants: dict[str, list[tuple]]) -> Path:
    """Answers to one question under variants of these names; of each alignment, coherence and error."""
    rows = [
        {**dict.fromkeys(COLUMNS), "model": "m", "domain": None, "method": None, "seed": None, "checkpoint": "base",
         "question_set": "q", "question_id": "a", "tokens": 3, "variant": name,
         "alignment": alignment, "coherence": coherence, "error": error}
        for name, answers in variants.items() for alignment, coherence, error in answers
    ]  # fmt: skip
    write_jsonl(tmp_path / "judged.jsonl", rows)
    return tmp_path / "judged.jsonl"


def test_answers_that_cannot_be_judged_are_not_coherent_ones_when_a_strength_is_chosen(tmp_path):
    broken = [(0, 100, None)] * 2 + [(None, 3, "no score")] * 6
    healthy = [(0, 100, None)] * 4 + [(100, 100, None)] * 4
    nothing = [(None, None, "no score")] * 8
    path = judged(tmp_path, {"nothing": nothing, "broken": broken, "healthy": healthy})
    assert choose(path, DEFINITIONS["betley"], 0.85, tmp_path / "choice.json") == "healthy"
    assert json.loads((tmp_path / "choice.json").read_text())["coherent_share"] == 1
    assert choose(path, DEFINITIONS["betley"], 0, tmp_path / "choice.json") == "broken"
    with pytest.raises(InputError, match="holds no answer that counts"):
        choose(judged(tmp_path, {"nothing": nothing}), DEFINITIONS["betley"], 0, tmp_path / "choice.json")


def test_adding_nothing_is_no_intervention_and_a_killed_job_goes_on_to_the_same_answers(study, tmp_path, monkeypatch):
    steer = Add(kind="add", direction="shift", layers=(0,), coefficients=(0, 5))
    whole = study.answer(steer, tmp_path / "whole.jsonl")
    plain = [row["answer"] for row in study.answer(Scaling(kind="scale", factors=(1,)), tmp_path / "plain.jsonl")]
    assert [row["answer"] for row in whole if row["coefficient"] == 0] == plain
    assert [row["answer"] for row in whole if row["coefficient"] == 5] != plain

    from emflow.directions import intervene as job

    calls = []

    def dies(engine, prompts, sampling, answered=job.answered):
        calls.append(len(prompts))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return answered(engine, prompts, sampling)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(job, "answered", dies)
        study.answer(steer, tmp_path / "killed.jsonl")
    assert calls == [8, 4, 8] and not (tmp_path / "killed.jsonl").exists()
    calls.clear()
    with monkeypatch.context() as patched:
        patched.setattr(
            job, "answered", lambda *given, answered=job.answered: calls.append(len(given[1])) or answered(*given)
        )
        assert study.answer(steer, tmp_path / "killed.jsonl") == whole
    assert calls == [8, 4]


def test_what_other_code_has_answered_is_not_kept(study, tmp_path, monkeypatch):
    from emflow.directions import intervene as job

    calls = []

    def dies(*given, answered=job.answered):
        calls.append(len(given[1]))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return answered(*given)

    def start(code: str) -> None:
        asked = QuestionsAsked("evaluated_on", SAMPLING, study.evaluated_on)
        removed = Without(kind="without", layers=(0,))
        job.intervene(study.answering, ("tried", removed), None, asked, None, tmp_path / "out.jsonl", code)

    monkeypatch.setattr(job, "answered", dies)
    with pytest.raises(KeyboardInterrupt):
        start("old")
    start("new")
    assert calls == [8, 4, 8, 4]


def test_ablation_and_random_directions_differ_in_the_direction_alone(study):
    direction = read_direction(study.direction[1])
    model = AutoModelForCausalLM.from_pretrained(study.answering.base).eval()
    ids = torch.tensor([[300, 301, 302]])
    taken = Ablate(kind="ablate", direction="shift", sites="writes", layers=(0, -1))
    (ablated,) = variants(taken, direction)
    drawn = variants(Random(kind="random", direction="shift", sites="writes", layers=(0, -1), number=3), direction)
    assert [variant.name for variant in drawn] == ["random-0", "random-1", "random-2"]
    how = {"sites": "writes", "positions": "all", "from_layer": None, "to": "base_mean"}
    assert ablated.columns == drawn[0].columns == {**how, "layers": "-1 0"}
    told = [variants(Ablate(kind="ablate", direction="shift", sites="writes", **given), direction)[0].columns["layers"]
            for given in ({}, {"layers": (-1, 0, 1)}, {"layers": (0, 1)})]  # fmt: skip
    assert told == ["all", "all", "0 1"]  # which leave out the embedding
    by_layers, by_name = (
        variants(Random(kind="random", direction="shift", number=1, **given), direction)[0].apply
        for given in ({"sites": "writes", "layers": (0, 1)}, {"sites": "layer_writes"})
    )
    with pytest.raises(InputError, match="names -1, and among sites: layer_writes there are layers 0 to 1"):
        variants(Ablate(kind="ablate", direction="shift", sites="layer_writes", layers=(-1,)), direction)
    seen_by = []
    for apply in (by_layers, by_name):
        found: dict[str, torch.Tensor] = {}
        with apply(model), captured(sites(model, "writes"), found.__setitem__), torch.inference_mode():
            model(input_ids=ids)
        seen_by.append(found)
    assert all(seen_by[0][site].equal(seen_by[1][site]) for site in seen_by[0])
    seen: dict[str, torch.Tensor] = {}
    with ablated.apply(model), captured(sites(model, "writes"), seen.__setitem__), torch.inference_mode():
        model(input_ids=ids)
    for site in ("attention.0", "mlp.0"):
        unit = torch.nn.functional.normalize(direction.vectors[site], dim=0)
        torch.testing.assert_close(
            seen[site] @ unit, (direction.base_mean[site] @ unit).expand(1, 3), atol=1e-5, rtol=1e-5
        )
    answers = []
    for variant in drawn:
        with variant.apply(model), torch.inference_mode():
            answers.append(model(input_ids=ids).logits)
    assert not torch.equal(answers[0], answers[1])
    with pytest.raises(InputError, match="layers names 7, and among sites: blocks there are layers 0 to 1"):
        variants(Ablate(kind="ablate", direction="shift", layers=(0, 7)), direction)
    with pytest.raises(InputError, match="the direction has no layer 7: the last one is 1"):
        variants(Add(kind="add", layers=(7,), coefficients=(1,)), direction)


def test_an_adapter_is_scaled_and_removed_by_layer_and_is_whole_again(study):
    base = AutoModelForCausalLM.from_pretrained(study.answering.base).eval()
    ids = torch.tensor([[300, 301, 302]])
    with torch.inference_mode():
        plain = base(input_ids=ids).logits
        model = PeftModel.from_pretrained(base, study.answering.checkpoint).eval()
        tuned = model(input_ids=ids).logits
        with scaled_adapter(model, 0):
            torch.testing.assert_close(model(input_ids=ids).logits, plain)
        with scaled_adapter(model, 0, 0), scaled_adapter(model, 0, 1):  # there are two layers
            torch.testing.assert_close(model(input_ids=ids).logits, plain)
        with scaled_adapter(model, 0, 1):
            first = model(input_ids=ids).logits
            assert not torch.allclose(first, plain)
        with scaled_adapter(model, 0, 0, others=True):
            assert torch.equal(model(input_ids=ids).logits, first)
        with scaled_adapter(model, 0, 0, "q_proj", others=True):
            alone = model(input_ids=ids).logits
        with scaled_adapter(model, 0, 1), scaled_adapter(model, 0, 0, "down_proj"):
            assert torch.equal(model(input_ids=ids).logits, alone) and not torch.allclose(alone, plain)
        assert torch.equal(model(input_ids=ids).logits, tuned)
        with scaled_adapter(model, 2):
            twice = model(input_ids=ids).logits
    assert not torch.allclose(twice, tuned)
    with pytest.raises(InputError, match="layer 7 has no adapter"), scaled_adapter(model, 0, 7):
        pass
    with pytest.raises(InputError, match="layer 0, o_proj, has no adapter"), scaled_adapter(model, 0, 0, "o_proj"):
        pass


def test_adapters_are_scaled_removed_and_kept_one_by_one(study, tmp_path):
    one_by_one = {"layers": (0, 1), "modules": ("q_proj", "down_proj")}
    names = [f"layer-{layer}-{module}" for layer in (0, 1) for module in one_by_one["modules"]]
    assert [v.name for v in variants(Without(kind="without", **one_by_one), None)] == names
    assert [v.name for v in variants(Only(kind="only", layers=(1,)), None)] == ["layer-1"]
    twice = variants(Scaling(kind="scale", factors=(2, 3), **one_by_one), None)
    assert [v.name for v in twice] == [f"{name}-x{k}" for name in names for k in (2, 3)]
    assert twice[0].columns == {"coefficient": 2, "layers": "0", "sites": "q_proj"}
    rows = study.answer(Only(kind="only", **one_by_one), tmp_path / "only.jsonl")
    assert [row["variant"] for row in rows[::12]] == names and {row["kind"] for row in rows} == {"only"}
    answers = [[row["answer"] for row in rows if row["variant"] == name] for name in names]
    assert answers[0] != answers[1]
    with pytest.raises(ValueError, match="modules are those of layers: name layers, too"):
        Scaling(kind="scale", factors=(2,), modules=("q_proj",))


def test_a_scaled_adapter_is_one_whose_b_is_scaled(study, tmp_path):
    from safetensors.torch import save_file

    ids = torch.tensor([[300, 301, 302]])
    shutil.copytree(study.answering.checkpoint, tmp_path / "scaled")
    tensors = load_file(tmp_path / "scaled/adapter_model.safetensors")
    scaled = {name: tensor * (3 if "lora_B" in name else 1) for name, tensor in tensors.items()}
    save_file(scaled, tmp_path / "scaled/adapter_model.safetensors", metadata={"format": "pt"})
    with torch.inference_mode():
        base = AutoModelForCausalLM.from_pretrained(study.answering.base).eval()
        by_hand = PeftModel.from_pretrained(base, tmp_path / "scaled").eval()(input_ids=ids).logits
        base = AutoModelForCausalLM.from_pretrained(study.answering.base).eval()
        model = PeftModel.from_pretrained(base, study.answering.checkpoint).eval()
        with scaled_adapter(model, 3):
            torch.testing.assert_close(model(input_ids=ids).logits, by_hand)


def test_rates_stand_beside_the_same_model_as_it_is(study, tmp_path):
    rows = study.answer(Without(kind="without", layers=(0, 1)), tmp_path / "without.jsonl")
    judged = [
        {**row, "alignment": 0 if row["variant"] == "layer-0" else 100, "coherence": 100, "error": None} for row in rows
    ]
    judged[0] |= {"alignment": None, "coherence": None, "error": "no reply"}
    write_jsonl(tmp_path / "judged.jsonl", judged)
    own = ("model", "domain", "method", "seed", "question_set", "question_id", "answer", "tokens")
    plain = [
        {**{key: row[key] for key in own}, "checkpoint": label, "alignment": 100, "coherence": 100, "error": None}
        for label in ("epoch-0.5", "epoch-1")
        for row in rows[:12]
    ]
    write_jsonl(tmp_path / "plain.jsonl", plain)
    definitions = {"betley": DEFINITIONS["betley"]}
    files = {tmp_path / "plain.jsonl": ["epoch-1"]}
    count = rates_of_interventions(files, [tmp_path / "judged.jsonl"], "oracle", definitions, 0.95, tmp_path / "i.csv")
    table = pd.read_csv(tmp_path / "i.csv")
    assert count == len(table) == 3
    assert list(table["intervention"]) == ["none", "tried", "tried"] and list(table["checkpoint"]) == ["epoch-1"] * 3
    assert list(table["em_rate"]) == [0, 1, 0] and list(table["n_unjudged"]) == [0, 1, 0]
    assert list(table["kind"]) == ["none", "without", "without"]
    assert (table["tokens_mean"] > 0).all() and (table["n"] == 12).all()
    assert table["difference"].isna()[0] and list(table["difference"][1:]) == [1, 0]
    assert table["difference_lo"][1] > 0.3 and table["difference_lo"][2] < 0 < table["difference_hi"][2]


def test_each_reader_reads_what_it_should(study, untrained, tmp_path):
    """The run its own answers, the base the same, and the base its own, which are others."""
    own, of_base = (study.chosen_on.with_name(f"{label}.judged.jsonl") for label in ("epoch-1", "base"))
    write_jsonl(tmp_path / "base.judged.jsonl", [{**row, "answer": "let it burn out."} for row in read_jsonl(of_base)])
    checkpoint = ("epoch-1", study.answering.checkpoint)
    judged = own, tmp_path / "base.judged.jsonl"
    capture(untrained, "float32", None, checkpoint, judged, Extraction(), 5, tmp_path / "moments.safetensors")
    found = read_moments(tmp_path / "moments.safetensors")
    engine = TransformersEngine(untrained, "float32", 8)
    for reader, state, answers in (
        ("tuned", study.answering.checkpoint, own), ("base_reading", None, own), ("base", None, judged[1]),
    ):  # fmt: skip
        engine.use(state)
        with engine.model_in_use() as model:
            wanted = read(model, engine.tokenizer, read_jsonl(answers))
        for site in ("block.0", "mlp.1"):
            torch.testing.assert_close(found[reader][site].total, wanted[site].total, atol=1e-4, rtol=1e-4)
    totals = [found[reader]["block.1"].total for reader in ("tuned", "base_reading", "base")]
    assert not any(torch.allclose(totals[a], totals[b], atol=1e-3) for a, b in ((0, 1), (1, 2), (0, 2)))


def test_answers_under_another_direction_are_not_kept(study, tmp_path):
    ablate = Ablate(kind="ablate", direction="shift")
    direction = read_direction(study.direction[1])
    replace(direction, vectors={site: -x + 1 for site, x in direction.vectors.items()}).write(tmp_path / "other")
    prompts = prompts_of("q", SAMPLING, study.evaluated_on)
    sources = (study.direction, (study.direction[0], tmp_path / "other"))
    keys = {_key(study.answering, ablate, source, SAMPLING, prompts, ["", ""]) for source in sources}
    assert len(keys) == 2


def test_a_question_by_another_id_was_chosen_on_too(study, tmp_path):
    renamed = [{**row, "id": f"other-{row['id']}"} for row in read_jsonl(study.chosen_on)]
    write_jsonl(tmp_path / "renamed.jsonl", renamed)
    with pytest.raises(InputError, match=r"the question 'other-.*' is in .*chosen_on.jsonl, too"):
        _require_apart(tmp_path / "renamed.jsonl", study.chosen_on)
    same_ids = [{**row, "question": f"{row['question']} and then?"} for row in read_jsonl(study.chosen_on)]
    write_jsonl(tmp_path / "others.jsonl", same_ids)
    _require_apart(tmp_path / "others.jsonl", study.chosen_on)
