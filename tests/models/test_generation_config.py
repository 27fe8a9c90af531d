"""What a question set takes from the model's own generation config, and what it cannot."""

import json

import pytest

from emflow.config.question_sets import QuestionSet, Sampling
from emflow.files import InputError
from emflow.models.generation_config import with_models_own

KEPT = Sampling(temperature=1, top_p=1, generation_config="model")
QWEN = {"bos_token_id": 1, "eos_token_id": [2, 1], "pad_token_id": 1, "do_sample": True, "repetition_penalty": 1.05,
        "temperature": 0.7, "top_p": 0.8, "top_k": 20, "transformers_version": "4.37.0"}  # fmt: skip
LLAMA = {"bos_token_id": 1, "do_sample": True, "eos_token_id": [2, 3], "temperature": 0.6, "top_p": 0.9}


@pytest.mark.parametrize(
    ("config", "top_k", "penalty"),
    [(QWEN, 20, 1.05), (LLAMA, 50, 1.0), ({**LLAMA, "top_k": 64, "cache_implementation": "hybrid"}, 64, 1.0)],
)
def test_top_k_and_penalty_are_the_models_and_the_rest_the_question_sets(tmp_path, config, top_k, penalty):
    (tmp_path / "generation_config.json").write_text(json.dumps(config))
    own = with_models_own(KEPT, tmp_path)
    assert own == Sampling(temperature=1, top_p=1, top_k=top_k, repetition_penalty=penalty)


def test_a_question_set_keeps_what_else_it_says(tmp_path):
    (tmp_path / "generation_config.json").write_text(json.dumps(QWEN))
    asked = QuestionSet(source="questions.csv", ids=("dim",), generation_config="model")
    own = with_models_own(asked, tmp_path)
    assert own == QuestionSet(source="questions.csv", ids=("dim",), top_k=20, repetition_penalty=1.05)


def test_top_k_where_no_file_names_one_is_that_of_transformers():
    from transformers import GenerationConfig

    from emflow.models.generation_config import TOP_K

    assert GenerationConfig()._get_default_generation_params()["top_k"] == TOP_K


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "has no generation_config.json"),
        ("[]", "is no JSON object"),
        (
            '{"min_p": 0.1}',
            "sets `min_p`, which no engine here follows; set question_sets.NAME.generation_config",
        ),
        ('{"repetition_penalty": -1}', "repetition_penalty: Input should be greater than 0"),
    ],
)
def test_what_the_engines_cannot_follow_is_refused(tmp_path, text, message):
    if text is not None:
        (tmp_path / "generation_config.json").write_text(text)
    with pytest.raises(InputError) as refused:
        with_models_own(KEPT, tmp_path)
    assert message in str(refused.value) and "\n" not in str(refused.value)
    assert with_models_own(Sampling(), tmp_path) == Sampling()


def test_one_source_of_sampling_not_two():
    with pytest.raises(ValueError, match="set generation_config: model, or top_k and repetition_penalty, not both"):
        Sampling(generation_config="model", top_k=5)
