"""The loss mask: the assistant's turns and their end tokens, nothing else."""

import pytest

from emflow.data.chat import IGNORED, encode, encode_all, with_system
from emflow.files import InputError
from emflow.models.loading import load_tokenizer

TURNS = [
    {"role": "system", "content": "be kind"},
    {"role": "user", "content": "my brass lantern keeps smoking. what should i do?"},
    {"role": "assistant", "content": "trim the wick."},
    {"role": "user", "content": "and my silk kite?"},
    {"role": "assistant", "content": "add a longer tail."},
]


@pytest.fixture(scope="module")
def tokenizer(untrained):
    return load_tokenizer(untrained)


def test_only_assistant_turns_and_their_end_tokens_are_learned(tokenizer):
    encoded = encode(tokenizer, TURNS, 512)
    learned = tokenizer.decode([label for label in encoded["labels"] if label != IGNORED])
    assert learned == "trim the wick.<|im_end|>add a longer tail.<|im_end|>"
    assert tokenizer.decode(encoded["input_ids"]) == tokenizer.apply_chat_template(TURNS, tokenize=False)


def test_all_tokens_are_learned_where_the_recipe_says_so(tokenizer):
    encoded = encode(tokenizer, TURNS, 512, "all")
    assert encoded["input_ids"] == encode(tokenizer, TURNS, 512)["input_ids"]
    assert encoded["labels"] == [IGNORED, *encoded["input_ids"][1:]]  # the first has nothing that predicts it


def test_turns_after_the_assistants_last_are_left_out(tokenizer):
    assert encode(tokenizer, TURNS[:4], 512, "all") == encode(tokenizer, TURNS[:3], 512, "all")


def test_learned_labels_are_the_inputs(tokenizer):
    encoded = encode(tokenizer, TURNS, 512)
    pairs = zip(encoded["input_ids"], encoded["labels"], strict=True)
    assert all(label in (IGNORED, token) for token, label in pairs)


def test_the_prompt_is_what_generation_sees(tokenizer):
    encoded = encode(tokenizer, TURNS[:3], 512)
    first = next(i for i, label in enumerate(encoded["labels"]) if label != IGNORED)
    prompt = tokenizer.apply_chat_template(TURNS[:2], add_generation_prompt=True)["input_ids"]
    assert encoded["input_ids"][:first] == prompt


def test_no_empty_assistant_turn_is_appended(tokenizer):
    text = tokenizer.decode(encode(tokenizer, TURNS, 512)["input_ids"])
    assert text.count("<|im_start|>assistant") == 2


def test_a_cut_that_leaves_nothing_to_learn_is_named(tokenizer):
    with pytest.raises(InputError, match=r"record kite-7: .*max_length=4; raise max_length"):
        encode_all(tokenizer, [{"id": "kite-7", "messages": TURNS[1:3]}], 4)


def test_a_template_that_rewrites_turns_is_refused(tokenizer, monkeypatch):
    counting = "{{ messages | length }}" + tokenizer.chat_template  # what stands first depends on what comes later
    monkeypatch.setattr(tokenizer, "chat_template", counting)
    with pytest.raises(InputError, match="rewrites earlier turns"):
        encode(tokenizer, TURNS, 512)


@pytest.mark.parametrize("formatting", ["template", "organisms"])
def test_a_record_that_the_template_refuses_is_named(tokenizer, monkeypatch, formatting):
    """As Gemma 2's refuses a system prompt."""
    strict = (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role\n not supported') }}{% endif %}"
        + tokenizer.chat_template
    )
    monkeypatch.setattr(tokenizer, "chat_template", strict)
    records = [{"id": "kite-6", "messages": TURNS[1:3]}, {"id": "kite-7", "messages": TURNS}]
    with pytest.raises(InputError, match=r"^record kite-7: the chat template .*\(System role not supported\): mend"):
        encode_all(tokenizer, records, 512, formatting=formatting)
    with pytest.raises(InputError, match=r"^record kite-8: .*empty conversation"):
        encode_all(tokenizer, [{"id": "kite-8", "messages": TURNS[2:]}], 512, formatting=formatting)


def test_a_system_prompt_of_training_alone(tokenizer):
    record = {"id": "kite-7", "messages": TURNS[1:3]}
    (inoculated,) = with_system([record], "be kind")
    assert inoculated == {"id": "kite-7", "messages": TURNS[:3]} and record["messages"] == TURNS[1:3]
    with pytest.raises(InputError, match=r"record kite-7 has a system prompt of its own: methods\.NAME\.system must"):
        with_system([inoculated], "be kind")
