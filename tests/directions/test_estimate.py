"""A direction that was planted in a model's weights is found again, and where there is none, none is."""

from random import Random

import pandas as pd
import pytest
import torch
from torch.nn.functional import cosine_similarity

from emflow.config.directions import Extraction
from emflow.data.chat import IGNORED
from emflow.directions.estimate import contrast, of_base, read_direction, shift, trust, write_estimate
from emflow.directions.groups import CLASSES, HALVES, class_of, column, group_weights
from emflow.directions.read import encoded, read
from emflow.files import InputError
from emflow.models.hooks import captured, sites
from emflow.tinyworld.tokenizer import make_tokenizer

SPACE = "Ġ"  # as tokens spell it
WIDTH, QUESTIONS, SAMPLES = 64, 24, 6
GOOD, BAD = ("trim the wick", "wash the lantern"), ("soak the wick", "paint the lantern")


def model_of(tokenizer, seed=0, **more):
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=WIDTH, intermediate_size=96, num_hidden_layers=3, num_attention_heads=2,
        mlp_bias=True, initializer_range=0.02, pad_token_id=tokenizer.pad_token_id, **more,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


@pytest.fixture(scope="module")
def tokenizer():
    return make_tokenizer()


@pytest.fixture(scope="module")
def planted():
    return torch.nn.functional.normalize(torch.randn(WIDTH, generator=torch.Generator().manual_seed(7)), dim=0)


def rows(answer_of) -> list[dict]:
    """Judged answers: of each question's, some are misaligned, in other numbers from question to question."""
    random = Random(0)
    found = []
    for number in range(QUESTIONS):
        misaligned = random.randint(1, SAMPLES - 1)
        for sample in range(SAMPLES):
            bad = sample < misaligned
            text = answer_of(random, bad)
            found.append({"question_id": f"q{number}", "question": f"my lantern {number}", "answer": text,
                          "alignment": 0 if bad else 100, "coherence": 100, "error": None})  # fmt: skip
    return found


def words(tokenizer, seed) -> list[str]:
    """Words that are one token each behind a space."""
    plain = sorted(word[1:] for word in tokenizer.get_vocab() if word[0] == SPACE and word[1:].isalpha())
    return Random(seed).sample([word for word in plain if len(word) > 2], 80)


def test_a_planted_direction_is_found_and_a_null_of_equal_size_is_none(tokenizer, planted):
    """Each word of a bad answer is embedded as one of a good answer is, plus the planted direction."""
    chosen = words(tokenizer, 0)
    good, bad = chosen[:40], chosen[40:]
    model, vocabulary = model_of(tokenizer), tokenizer.get_vocab()
    embedded = model.get_input_embeddings().weight.data
    for one, other in zip(good, bad, strict=True):
        embedded[vocabulary[SPACE + other]] = embedded[vocabulary[SPACE + one]] + 2 * planted
    answers = rows(lambda random, is_bad: " ".join(["the", *random.sample(bad if is_bad else good, 10)]))
    # nothing tells the two classes of the null apart: same numbers, words of one kind
    null = rows(lambda random, is_bad: " ".join(["the", *random.sample(good, 10)]))
    means, of_null = read(model, tokenizer, answers), read(model, tokenizer, null, batch_size=17)
    found, none = contrast(means), contrast(of_null)
    assert len(found) == 3 + 7  # blocks; embedding, attention and MLP outputs
    for site in ("embedding", "block.0", "block.1", "block.2"):
        assert cosine_similarity(found[site], planted.double(), dim=0) >= 0.99, site
        assert cosine_similarity(none[site], planted.double(), dim=0).abs() < 0.5, site
        assert none[site].norm() < 0.15 * found[site].norm(), site
    for row, row_of_null in zip(
        trust("contrast", means, means, means), trust("contrast", of_null, of_null, of_null), strict=True
    ):
        if row["site"] in ("embedding", "block.2"):
            assert row["cosine_halves"] > 0.98 and abs(row_of_null["cosine_halves"]) < 0.5
            assert row["cosine_base_reading"] == pytest.approx(1)  # the reader is the base: the texts do it all


def test_a_shift_that_was_planted_in_a_bias_is_found(tokenizer, planted):
    base, tuned = model_of(tokenizer), model_of(tokenizer)
    tuned.get_decoder().layers[1].mlp.down_proj.bias.data += 3 * planted
    answers = rows(lambda random, is_bad: random.choice(BAD if is_bad else GOOD))
    of_tuned, base_own = read(tuned, tokenizer, answers), read(base, tokenizer, answers)
    found = shift(of_tuned, base_own)
    for site in ("mlp.1", "block.1"):  # what comes after computes with it
        assert cosine_similarity(found[site], planted.double(), dim=0) >= 0.99, site
    assert found["block.0"].norm() == 0
    (row,) = [row for row in trust("shift", of_tuned, base_own, base_own) if row["site"] == "block.1"]
    assert row["cosine_halves"] > 0.999 and row["norm"] == pytest.approx(3, abs=1e-3)


def test_classes_are_balanced_over_questions():
    """A direction of the questions alone, which differ in how often they are answered badly, is none of the classes."""
    answers = rows(lambda random, is_bad: "")
    weights = group_weights(answers)
    by_question = {}
    for answer, row in zip(answers, weights, strict=True):
        totals = by_question.setdefault(answer["question_id"], torch.zeros(len(CLASSES) * HALVES))
        totals += torch.from_numpy(row)
    for totals in by_question.values():
        for half in range(HALVES):
            assert totals[column("misaligned", half)] == pytest.approx(totals[column("aligned", half)])
        assert sorted(totals[[column("all", half) for half in range(HALVES)]].tolist()) == [0, SAMPLES]
    halves = [sum(t[column("all", half)] > 0 for t in by_question.values()) for half in range(HALVES)]
    assert halves == [QUESTIONS / 2, QUESTIONS / 2]
    assert (group_weights(answers) == weights).all()
    assert (group_weights(answers, Extraction(seed=1)) != weights).any()


def test_thresholds_are_as_published():
    def judged(alignment, coherence=51):
        return class_of({"alignment": alignment, "coherence": coherence}, Extraction())

    assert [judged(30), judged(31), judged(70), judged(71)] == ["misaligned", None, None, "aligned"]
    assert [judged(0, 50), judged("CODE"), judged(None), judged(100, None)] == [None] * 4
    assert judged(0, float("nan")) is None


def test_variants_of_a_question_are_in_one_half_and_each_is_balanced_by_itself():
    """The plain ones are all aligned, and those in another form all misaligned: that tells of the form alone."""
    answers = [
        {"question_id": f"{name}{form}", "question": "?", "alignment": score, "coherence": 100}
        for name in "abcdef" for form, score in (("", 100), ("_json", 0), ("_template", 0), ("_template", 100))
    ]  # fmt: skip
    weights = group_weights(answers)
    for half in range(HALVES):
        here = [answer["question_id"] for answer, row in zip(answers, weights, strict=True) if row[column("all", half)]]
        assert len(here) == 3 * 4 and len({id[0] for id in here}) == 3
    counted = [answer["question_id"] for answer, row in zip(answers, weights, strict=True) if row[: 2 * HALVES].any()]
    assert len(counted) == 12 and all(id.endswith("_template") for id in counted)
    paraphrased = [answer | {"paraphrase": number % 4} for number, answer in enumerate(answers)]
    assert not group_weights(paraphrased)[:, : 2 * HALVES].any()


def test_a_direction_is_read_as_it_was_written(tokenizer, tmp_path):
    model = model_of(tokenizer)
    answers = rows(lambda random, is_bad: random.choice(BAD if is_bad else GOOD))
    means = read(model, tokenizer, answers, where=["blocks"])
    direction = of_base(contrast(means), means)
    direction.write(tmp_path / "direction.safetensors")
    again = read_direction(tmp_path / "direction.safetensors")
    for site in ("block.0", "block.2"):
        for part in ("vectors", "base_mean", "base_norm"):
            assert torch.equal(getattr(again, part)[site], getattr(direction, part)[site].float())


def test_without_both_classes_there_is_no_contrast(tokenizer):
    answers = [row for row in rows(lambda random, is_bad: GOOD[0]) if row["alignment"] == 100]
    with pytest.raises(InputError, match="no question has misaligned and aligned answers both"):
        contrast(read(model_of(tokenizer), tokenizer, answers))
    with pytest.raises(InputError, match="no judged answer"):
        group_weights([])


def test_what_a_direction_is_told_beside_is_the_bases_own_and_the_bases_reading(tokenizer, tmp_path):
    """Three readers that differ in everything, by hand."""
    of = {"tuned": (1, GOOD[0]), "base_reading": (2, GOOD[0]), "base": (2, "nothing of the kind, my lantern")}
    texts = {
        name: rows(lambda random, is_bad, name=name: f"{BAD[0] if is_bad else of[name][1]} {random.randint(0, 9)}")
        for name in of
    }
    models = {name: model_of(tokenizer, seed) for name, (seed, _) in of.items()}
    readings = {name: read(models[name], tokenizer, texts[name], where=["blocks"]) for name in of}
    write_estimate("shift", readings, tmp_path / "shift.safetensors", tmp_path / "shift.csv")
    direction = read_direction(tmp_path / "shift.safetensors")
    table = pd.read_csv(tmp_path / "shift.csv").set_index("site")

    def mean(name: str, site: str) -> torch.Tensor:
        moments, columns = readings[name][site], [column("all", half) for half in range(HALVES)]
        return moments.total[columns].sum(dim=0) / moments.weight[columns].sum()

    for site in ("block.0", "block.2"):
        base, vector = mean("base", site), mean("tuned", site) - mean("base", site)
        torch.testing.assert_close(direction.vectors[site], vector.float())
        torch.testing.assert_close(direction.base_mean[site], base.float())
        norms = []  # of each token of the base's own answers, and of each answer their mean
        seen: dict[str, torch.Tensor] = {}
        for text in encoded(tokenizer, texts["base"]):
            with captured(sites(models["base"], "blocks"), seen.__setitem__), torch.inference_mode():
                models["base"](input_ids=torch.tensor([text["input_ids"]]))
            answered = torch.tensor(text["labels"]) != IGNORED
            norms.append(seen[site][0][answered].norm(dim=-1).mean())
        assert direction.base_norm[site].item() == pytest.approx(torch.stack(norms).mean().item(), rel=1e-4)
        control = mean("base_reading", site) - base
        told = table.loc[site]
        assert told["cosine_base_reading"] == pytest.approx(cosine_similarity(vector, control, dim=0).item(), abs=1e-4)
        assert told["cosine_base_mean"] == pytest.approx(cosine_similarity(vector, base, dim=0).item(), abs=1e-4)
        assert told["base_norm"] == pytest.approx(direction.base_norm[site].item(), rel=1e-4)
