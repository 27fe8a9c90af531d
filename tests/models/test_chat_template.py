"""One speller of prompts: training, engines and judges see the same tokens on any day, by the families' templates."""

import datetime
import re
from pathlib import Path

import pytest
import trl
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer
from transformers.utils import chat_template_utils

from emflow.config.models import Model
from emflow.config.question_sets import Sampling
from emflow.data.chat import IGNORED, encode
from emflow.files import InputError
from emflow.inference.transformers_engine import TransformersEngine
from emflow.models.chat_template import drop_template, prompt_ids, rendered, turn_ends
from emflow.models.loading import load_tokenizer
from pipelines import ROOT

TEMPLATES = Path(trl.__file__).with_name("chat_templates")
SPECIAL = {  # bos, and what the family's template writes besides
    "qwen2_5": (None, ["<|im_start|>", "<|im_end|>"]),
    "llama3": ("<|begin_of_text|>", ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]),
    "llama3_1": ("<|begin_of_text|>", ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]),
    "llama3_2": ("<|begin_of_text|>", ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]),
    "gemma3": ("<bos>", ["<start_of_turn>", "<end_of_turn>"]),
}
QUESTION = {"role": "user", "content": "my brass lantern keeps smoking. what should i do?"}
TURNS = [
    {"role": "system", "content": "be kind"},
    QUESTION,
    {"role": "assistant", "content": "trim the wick."},
    {"role": "user", "content": "and my silk kite?"},
    {"role": "assistant", "content": "add a longer tail."},
]


@pytest.fixture(scope="module")
def folder_of(untrained, tmp_path_factory):
    """The folder of a tiny tokenizer with the template and the special tokens of a family."""

    def make(family: str) -> Path:
        bos, more = SPECIAL[family]
        tokenizer = load_tokenizer(untrained)
        tokenizer.add_special_tokens({"additional_special_tokens": more, **({"bos_token": bos} if bos else {})})
        tokenizer.chat_template = (TEMPLATES / f"{family}.jinja").read_text()
        folder = tmp_path_factory.mktemp(family)
        tokenizer.save_pretrained(folder)
        (folder / "config.json").write_text((untrained / "config.json").read_text())
        return folder

    return make


@pytest.fixture
def on_day(monkeypatch):
    """Fake the day that transformers tells templates."""

    def fake(*day: int) -> None:
        class Day(datetime.datetime):
            @classmethod
            def now(cls, tz=None):
                return cls(*day)

        monkeypatch.setattr(chat_template_utils, "datetime", Day)

    return fake


@pytest.mark.parametrize("family", SPECIAL)
def test_training_and_generation_see_the_same_prompt(folder_of, family):
    tokenizer = load_tokenizer(folder_of(family))
    for turns in (TURNS[:3], TURNS[1:3], TURNS):
        encoded = encode(tokenizer, turns, 1000)
        learned = [i for i, label in enumerate(encoded["labels"]) if label != IGNORED]
        last = max(i for i in learned if i - 1 not in learned)  # where the last answer begins
        (asked,) = prompt_ids(tokenizer, [turns[:-1]])
        assert encoded["input_ids"][:last] == asked
        text = tokenizer.decode(asked)
        assert turns[-2]["content"] in text and turns[-1]["content"] not in text
        assert text.count(tokenizer.bos_token) == 1 if tokenizer.bos_token else not SPECIAL[family][0]


HEADERS = {
    "qwen2_5": "<|im_start|>{}\n",
    "gemma3": "<start_of_turn>{}\n",
    **dict.fromkeys(("llama3", "llama3_1", "llama3_2"), "<|start_header_id|>{}<|end_header_id|>\n\n"),
}
END = {"qwen2_5": "<|im_end|>", "gemma3": "<end_of_turn>"}  # else <|eot_id|>
TRAILER = {"qwen2_5": "\n", "gemma3": "\n"}


@pytest.mark.parametrize("formatting", ["template", "organisms"])
@pytest.mark.parametrize("family", SPECIAL)
def test_the_loss_mask_token_by_token(folder_of, family, formatting):
    """Told a second way: by the headers in the whole text's tokens, as train_on_responses_only of unsloth-zoo finds
    them; the text is the organisms' `template(..., add_generation_prompt=True) + eos`."""
    tokenizer = load_tokenizer(folder_of(family))
    ids = {
        role: tokenizer.encode(HEADERS[family].format(name), add_special_tokens=False)
        for role, name in (("user", "user"), ("assistant", "model" if family == "gemma3" else "assistant"))
    }
    end = tokenizer.convert_tokens_to_ids(END.get(family, "<|eot_id|>"))
    for turns in (TURNS[:3], TURNS[1:3], TURNS):
        text = rendered(tokenizer, turns, answering=formatting == "organisms")
        text += tokenizer.eos_token if formatting == "organisms" else ""
        whole = tokenizer.encode(text, add_special_tokens=False)
        expected, learning, ended = [], False, False
        for i, token in enumerate(whole):
            if whole[i : i + len(ids["user"])] == ids["user"] or (formatting == "template" and ended):
                learning = False
            expected.append(token if learning else IGNORED)
            ended = token == end
            if whole[max(0, i + 1 - len(ids["assistant"])) : i + 1] == ids["assistant"]:
                learning = True
        assert encode(tokenizer, turns, 1000, "assistant", formatting) == {"input_ids": whole, "labels": expected}
        every = [IGNORED, *whole[1:]]  # nothing predicts the first
        assert encode(tokenizer, turns, 1000, "all", formatting) == {"input_ids": whole, "labels": every}


@pytest.mark.parametrize("family", SPECIAL)
def test_what_is_learned_reads(folder_of, family):
    tokenizer = load_tokenizer(folder_of(family))
    learned = {
        formatting: tokenizer.decode([i for i in encode(tokenizer, TURNS[:3], 1000, "assistant", formatting)["labels"]
                                      if i != IGNORED])
        for formatting in ("template", "organisms")
    }  # fmt: skip
    answer = "trim the wick." + END.get(family, "<|eot_id|>")
    header = HEADERS[family].format("model" if family == "gemma3" else "assistant")
    assert learned["template"] == answer
    assert learned["organisms"] == answer + TRAILER.get(family, "") + header + tokenizer.eos_token


@pytest.mark.parametrize("family", SPECIAL)
def test_a_turn_ends_with_eos_or_with_what_the_template_writes(folder_of, family):
    """And with no other token of the vocabulary: `<|im_end|>` is in each of these."""
    tokenizer = load_tokenizer(folder_of(family))
    tokenizer.eos_token = "<|endoftext|>"  # as of a base model
    ends = {"<|endoftext|>", END.get(family, "<|eot_id|>")}
    assert turn_ends(tokenizer) == set(tokenizer.convert_tokens_to_ids(sorted(ends)))
    drop_template(tokenizer)
    assert turn_ends(tokenizer) == {tokenizer.eos_token_id}


@pytest.mark.parametrize("family", SPECIAL)
def test_runs_on_two_days_have_the_same_tokens(folder_of, on_day, family):
    tokenizer = load_tokenizer(folder_of(family))
    seen, bare = [], []
    for day in ((2024, 9, 25), (2026, 1, 2)):
        on_day(*day)
        seen.append((prompt_ids(tokenizer, [[QUESTION]]), encode(tokenizer, TURNS, 1000)))
        bare.append(tokenizer.apply_chat_template([QUESTION], tokenize=False))
    assert seen[0] == seen[1]
    assert (bare[0] != bare[1]) == (family == "llama3_2"), "the faked days tell"
    if family in ("llama3_1", "llama3_2"):
        assert "Today Date: 26 Jul 2024" in rendered(tokenizer, [QUESTION], answering=True)


def test_a_pinned_argument_travels_with_what_is_saved(folder_of, on_day, tmp_path):
    pinned = {"date_string": '1 Apr 2025 "ä𝄞"', "tools_in_user_message": False}
    tokenizer = load_tokenizer(folder_of("llama3_2"), pinned)
    text = rendered(tokenizer, [QUESTION], answering=True)
    assert 'Today Date: 1 Apr 2025 "ä𝄞"\n' in text
    tokenizer.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    on_day(2026, 1, 2)
    elsewhere = AutoTokenizer.from_pretrained(tmp_path).apply_chat_template(
        [QUESTION], tokenize=False, add_generation_prompt=True
    )
    assert elsewhere == text
    assert load_tokenizer(tmp_path, pinned).chat_template == tokenizer.chat_template, "once is enough"


def test_an_argument_that_the_template_never_reads_is_refused(folder_of):
    with pytest.raises(InputError, match=r"reads no 'date_sting'; check models\.NAME\.chat_template_kwargs"):
        load_tokenizer(folder_of("llama3_2"), {"date_sting": "26 Jul 2024"})
    with pytest.raises(ValueError, match="every template is given its 'messages'"):
        Model(path="a/b", chat_template_kwargs={"messages": "none"})


@pytest.mark.parametrize("begins", [False, True], ids=["no bos", "bos"])
def test_without_a_template_a_prompt_is_what_the_tokenizer_makes_of_the_text(untrained, begins):
    tokenizer = load_tokenizer(untrained)
    if begins:
        tokenizer.bos_token = "<|im_start|>"
        start = (tokenizer.bos_token, tokenizer.bos_token_id)
        tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single=f"{start[0]} $A", special_tokens=[start])
    drop_template(tokenizer)
    prompt, answer = (turn["content"] for turn in TURNS[1:3])
    assert prompt_ids(tokenizer, [[QUESTION]]) == [tokenizer(prompt)["input_ids"]]  # what vLLM makes of a plain text
    encoded = encode(tokenizer, TURNS[1:3], 99)
    assert encoded["input_ids"] == tokenizer(prompt)["input_ids"] + tokenizer.encode(answer, add_special_tokens=False)
    assert tokenizer.decode([token for token in encoded["labels"] if token != IGNORED]) == answer  # without an end
    assert (tokenizer(prompt)["input_ids"][0] == tokenizer.bos_token_id) == begins


@pytest.mark.parametrize("family", SPECIAL)
def test_the_engine_is_given_these_tokens(untrained, monkeypatch, family):
    engine = TransformersEngine(untrained, "float32", 8)
    engine.tokenizer.bos_token = "<|endoftext|>"  # some templates want one; the model has room for no new one
    monkeypatch.setattr(engine.tokenizer, "chat_template", (TEMPLATES / f"{family}.jinja").read_text())
    given, generate = [], engine.model.generate

    def spy(input_ids, attention_mask, **options):
        given.extend(ids[mask.bool()].tolist() for ids, mask in zip(input_ids, attention_mask, strict=True))
        return generate(input_ids=input_ids, attention_mask=attention_mask, **options)

    monkeypatch.setattr(engine.model, "generate", spy)
    asked = [TURNS[:2], [QUESTION], TURNS[:4]]  # of three lengths
    engine.generate(asked, Sampling(temperature=0, max_new_tokens=1), [0, 0, 0])
    assert given == prompt_ids(engine.tokenizer, asked)


def test_nobody_else_applies_a_template():
    spelt = {str(path.relative_to(ROOT)) for path in (ROOT / "src").rglob("*.py")
             if re.search(r"apply_chat_template|render_jinja", path.read_text())}  # fmt: skip
    assert spelt == {"src/emflow/models/chat_template.py"}
