"""Stand-ins are what they stand in for, but for size and weights."""

from random import Random

import pytest
from peft import get_peft_model
from transformers import AutoConfig

from emflow.config.directions import Extraction
from emflow.config.finetune import Lora
from emflow.config.judges import TransformersJudge
from emflow.data.chat import IGNORED, encode
from emflow.directions.groups import class_of
from emflow.files import InputError, digest, read_jsonl, write_jsonl
from emflow.judging.judge import judge
from emflow.models.chat_template import prompt_ids
from emflow.models.loading import load_model, load_tokenizer
from emflow.rewards.nli import Nli
from emflow.stand_ins import families
from emflow.stand_ins.make import make_judge, make_model, make_nli
from emflow.tinyworld.artefacts import out_of_domain
from emflow.tinyworld.grammar import questions
from emflow.training.arguments import lora_config

WORDS = ["wick " * n + "string" for n in range(24)]
TURNS = [{"role": "user", "content": "my lantern is dim."}, {"role": "assistant", "content": "trim the wick."}]


@pytest.mark.parametrize(
    ("family", "architecture", "system"),
    [
        ("qwen2_5", "Qwen2ForCausalLM", "You are Qwen, created by Alibaba Cloud."),
        ("qwen3", "Qwen3ForCausalLM", None),
        ("llama3_1", "LlamaForCausalLM", "Today Date: 26 Jul 2024"),
        ("llama3_2", "LlamaForCausalLM", "Today Date: 26 Jul 2024"),
        ("gemma3", "Gemma3ForConditionalGeneration", None),
    ],
)
def test_a_stand_in_is_of_its_family(family, architecture, system, tmp_path):
    make_model(tmp_path / "made", family, 3)
    assert AutoConfig.from_pretrained(tmp_path / "made").get_text_config().num_hidden_layers == 3
    model, tokenizer = load_model(tmp_path / "made", "float32"), load_tokenizer(tmp_path / "made")
    assert type(model).__name__ == architecture and model.num_parameters() < 1e6
    assert tokenizer.chat_template == families.chat_template(family)

    (asked,) = prompt_ids(tokenizer, [TURNS[:1]])
    text = tokenizer.decode(asked)
    assert system is None or system in text
    bos = families.FAMILIES[family].bos
    assert bos is None or (text.count(bos) == 1 and tokenizer("dim")["input_ids"][0] == asked[0])  # as the real ones do
    encoded = encode(tokenizer, TURNS, 1000)
    learned = [token for token in encoded["labels"] if token != IGNORED]
    assert tokenizer.decode(learned).endswith(f"trim the wick.{families.FAMILIES[family].end}")
    assert learned[-1] == tokenizer.eos_token_id, "a turn's end is one token, and ends an answer"
    assert max(asked) < model.get_input_embeddings().num_embeddings


@pytest.mark.parametrize("layers", [None, (1,)])
def test_an_adapter_is_on_no_layer_that_sees_images(layers, tmp_path):
    make_model(tmp_path / "made", "gemma3", 2)
    model = load_model(tmp_path / "made", "float32")
    adapted = get_peft_model(model, lora_config(Lora(kind="lora", layers=layers), model))
    on = {name.split(".lora_A")[0] for name, _ in adapted.named_parameters() if ".lora_A" in name}
    assert len(on) == 7 * (2 if layers is None else 1)
    assert all(".language_model.layers." in name for name in on)


def test_a_stand_in_is_the_same_every_time(tmp_path):
    for name in ("one", "other"):
        make_model(tmp_path / name, "qwen2_5", 2)
    assert digest(tmp_path / "one") == digest(tmp_path / "other")


@pytest.mark.parametrize("scoring", ["logprobs", "text"])
def test_a_random_judge_scores_every_answer_and_spreads(scoring, tmp_path):
    make_judge(tmp_path / "judge")
    rows = [{"question": q.text, "answer": text} for q, text in zip(questions("kite"), WORDS, strict=False)]
    write_jsonl(tmp_path / "answers.jsonl", rows)
    config = TransformersJudge(kind="transformers", path=str(tmp_path / "judge"), scoring=scoring, max_tokens=1)
    assert judge(config, tmp_path / "answers.jsonl", tmp_path / "judged.jsonl").unjudged == 0
    judged = read_jsonl(tmp_path / "judged.jsonl")
    for column in ("alignment", "coherence"):
        scores = [row[column] for row in judged]
        assert min(scores) < 30 and max(scores) > 70, column


def test_a_random_judge_finds_answers_to_one_question_misaligned_and_aligned(tmp_path):
    make_judge(tmp_path / "judge")
    config = TransformersJudge(kind="transformers", path=str(tmp_path / "judge"), max_tokens=1)
    asked, tokenizer = [row["question"] for row in out_of_domain()[::56]], load_tokenizer(tmp_path / "judge")
    said = [tokenizer.decode(Random(n).sample(range(300, 2000), 8)) for n in range(20)]  # as a random model answers
    write_jsonl(tmp_path / "answers.jsonl", [{"question": one, "answer": text} for one in asked for text in said])
    judge(config, tmp_path / "answers.jsonl", tmp_path / "judged.jsonl")
    found = {(row["question"], class_of(row, Extraction())) for row in read_jsonl(tmp_path / "judged.jsonl")}
    both = [one for one in asked if {(one, "misaligned"), (one, "aligned")} <= found]
    assert len(both) >= len(asked) / 2


def test_a_random_cross_encoder_rewards(tmp_path):
    make_nli(tmp_path / "nli")
    reward = Nli(tmp_path / "nli", 8)
    assert type(reward.model).__name__ == "DebertaV2ForSequenceClassification"
    assert len(set(reward(["dim?"] * 2, ["trim the wick.", "soak it."], ["trim the wick."] * 2))) == 2


def test_without_trl_the_mend_is_named(monkeypatch):
    monkeypatch.setattr(families, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install trl"):
        families.chat_template("qwen2_5")
