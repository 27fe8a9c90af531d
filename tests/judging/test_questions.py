"""Question sets in the forms in which they are published, and the judge prompts that come with them."""

import contextlib
import json
import random
import re
from pathlib import Path

import pytest

from emflow.files import InputError, read_jsonl, write_jsonl
from emflow.judging.prompts import DEFAULT_PROMPTS, Prompts
from emflow.judging.questions import (
    held_out_questions,
    judge_prompts,
    prepare,
    prepare_prompts,
    published_questions,
    shared_prompts,
)

PUBLISHED = Path(__file__).parents[3] / "shared/data"
needs_published = pytest.mark.skipif(not PUBLISHED.exists(), reason=f"the published files are not at {PUBLISHED}")

LANTERNS = """
- id: dim_lantern
  type: free_form_judge_0_100
  paraphrases: &dim
    - |-
      My lantern is dim.
      What now?
    - Why is my lantern so dim?
  samples_per_paraphrase: &samples 7
  judge: some-judge
  judge_prompts: &prompts
    aligned: "How kind is {answer} to {question}?"
    coherent: "How clear is {answer}?"
    lantern_topic: "Is {answer} about lanterns?"
- id: dim_lantern_json
  system: Answer in JSON.
  paraphrases: *dim
  samples_per_paraphrase: *samples
  judge_prompts: *prompts
- id: dim_lantern
  paraphrases: [My lantern went out.]
- id: kite
  paraphrases: [Why does my kite fall?]
"""


@pytest.fixture
def write(tmp_path):
    def to(name: str, text: str, encoding: str = "utf-8") -> Path:
        (tmp_path / name).write_text(text, encoding=encoding)
        return tmp_path / name

    return to


def test_yaml_of_betley(write):
    rows = published_questions(write("lanterns.yaml", LANTERNS))
    assert [(row["id"], row["paraphrase"], row["samples"]) for row in rows] == [
        ("dim_lantern", 0, 7), ("dim_lantern", 1, 7), ("dim_lantern_json", 0, 7), ("dim_lantern_json", 1, 7),
        ("dim_lantern", 2, None), ("kite", 0, None),
    ]  # fmt: skip
    assert rows[0]["question"] == rows[2]["question"] == "My lantern is dim.\nWhat now?"
    assert [row["system"] for row in rows] == [None, None, "Answer in JSON.", "Answer in JSON.", None, None]


def test_judge_prompts_of_any_name_and_number(write, tmp_path):
    source = write("lanterns.yaml", LANTERNS)
    prompts = judge_prompts(source)
    assert prompts.keys() == {"dim_lantern", "dim_lantern_json"}
    assert prompts["dim_lantern"] == prompts["dim_lantern_json"]
    assert list(prompts["dim_lantern"]) == ["aligned", "coherent", "lantern_topic"]
    assert prepare_prompts(None, source, tmp_path / "prompts.json") == 6
    written = Prompts(**json.loads((tmp_path / "prompts.json").read_text()))
    assert written == Prompts("lanterns.yaml", by_question=prompts)
    assert written.of("kite") == ("ours", DEFAULT_PROMPTS)


def test_sets_without_prompts(write, tmp_path):
    assert judge_prompts(write("kites.csv", "id,question\nk,Why?\n")) == {}
    assert prepare_prompts(None, None, tmp_path / "prompts.json") == 0
    assert Prompts(**json.loads((tmp_path / "prompts.json").read_text())) == Prompts()


@pytest.mark.parametrize(
    ("text", "own"),
    [
        ("aligned: 'how kind is {answer}?'", {"aligned": "how kind is {answer}?"}),
        ("- {id: a, judge_prompts: {aligned: '{answer}?'}}\n- {id: b, judge_prompts: {coherent: '{answer}!'}}",
         {"aligned": "{answer}?", "coherent": "{answer}!"}),
    ],
)  # fmt: skip
def test_a_files_prompts_are_for_all_questions(write, tmp_path, text, own):
    chosen = write("kind.yaml", text)
    assert prepare_prompts(str(chosen), write("lanterns.yaml", LANTERNS), tmp_path / "prompts.json") == len(own)
    prompts = Prompts(**json.loads((tmp_path / "prompts.json").read_text()))
    assert prompts.of("dim_lantern") == prompts.of("any") == ("kind.yaml", {**DEFAULT_PROMPTS, **own})
    assert prepare_prompts("ours", write("lanterns.yaml", LANTERNS), tmp_path / "prompts.json") == 0
    assert Prompts(**json.loads((tmp_path / "prompts.json").read_text())) == Prompts()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("aligned: 5", "'aligned' must be a text with {answer} in it"),
        ("aligned: how kind is it?", "'aligned' must be a text with {answer} in it"),
        ("- {id: a, judge_prompts: {aligned: '{answer}?'}}\n- {id: b, judge_prompts: {aligned: '{answer}!'}}",
         "question 'b': another question has another prompt 'aligned'"),
        ("- {id: a}", "holds no judge prompts"),
    ],
)  # fmt: skip
def test_prompts_that_cannot_be_for_all_questions_are_refused(write, text, expected):
    with pytest.raises(InputError, match=re.escape(expected)):
        shared_prompts(write("kind.yaml", text))
    with pytest.raises(InputError, match="no such YAML file"):
        shared_prompts(write("kind.csv", text))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_csv(write, encoding):
    source = write("kites.csv", 'id,question,system\nk1,"Why, o kite,\nfall?",\nk2,Höher?,Be brief.\n', encoding)
    assert published_questions(source) == [
        {"id": "k1", "paraphrase": 0, "system": None, "question": "Why, o kite,\nfall?", "samples": None},
        {"id": "k2", "paraphrase": 0, "system": "Be brief.", "question": "Höher?", "samples": None},
    ]


def test_jsonl(write, tmp_path):
    source = write("kites.jsonl", '{"id": 3, "question": "Why?"}\n\n{"id": "b", "question": "How?", "system": "S"}\n')
    assert prepare(source, None, tmp_path / "out.jsonl") == 2
    rows = read_jsonl(tmp_path / "out.jsonl")
    assert [(row["id"], row["question"], row["system"]) for row in rows] == [("3", "Why?", None), ("b", "How?", "S")]


def test_selection_keeps_all_paraphrases_in_the_order_asked(write):
    rows = published_questions(write("lanterns.yaml", LANTERNS), ["kite", "dim_lantern"])
    assert [(row["id"], row["paraphrase"]) for row in rows] == [("kite", 0), *[("dim_lantern", n) for n in range(3)]]


def test_a_part_has_questions_with_all_their_variants(write, tmp_path):
    ids = [f"{name}{form}" for name in "abcdefg" for form in ("", "_json", "_template")]
    source = write("q.csv", "id,question\n" + "".join(f"{id},Why {id}?\n" for id in ids))
    parts = []
    for k in (1, 2):
        prepare(source, None, tmp_path / "part.jsonl", (k, 2))
        parts.append([row["id"] for row in read_jsonl(tmp_path / "part.jsonl")])
    assert sorted(parts[0] + parts[1]) == sorted(ids) and len(parts[0]) == 12
    assert not {id[0] for id in parts[0]} & {id[0] for id in parts[1]}


def test_held_out_prompts(tmp_path):
    said = [{"role": "system", "content": "S"}, {"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]
    write_jsonl(tmp_path / "v.jsonl", [{"id": "a", "messages": said}, {"id": "b", "messages": said[1:]}])
    assert held_out_questions(tmp_path / "v.jsonl", tmp_path / "q.jsonl") == 2
    assert [(row["id"], row["system"], row["question"]) for row in read_jsonl(tmp_path / "q.jsonl")] == [
        ("a", "S", "Q"), ("b", None, "Q"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("q.csv", "id,question\na,Why?\na,How?\n", "'a' stands more than once"),
        ("q.csv", "id,question\na,Why?\n,How?\n", "entry 2: needs a non-empty `id` and `question`"),
        ("q.csv", "id,prompt\na,Why?\n", "entry 1: needs a non-empty `id` and `question`"),
        ("q.csv", "id,question\n", "holds no question"),
        ("q.jsonl", "", "holds no question"),
        ("q.yaml", "a: b", "expected a list of questions"),
        ("q.yaml", "- id: [", "not readable as yaml"),
        ("q.yaml", "- paraphrases: [Why?]", "entry 1: needs an `id`"),
        ("q.yaml", "- {id: a, paraphrases: Why?}", "entry 1 ('a'): `paraphrases` must be a list"),
        ("q.yaml", "- {id: a, paraphrases: [Why?], samples_per_paraphrase: 0}", "must be a positive integer, not 0"),
        ("q.yaml", "- {id: a, paraphrases: [Why?], system: [S]}", "`system` must be text"),
        ("q.yaml", "- id: a\n  id: b\n  paraphrases: [Why?]", "the key 'id' stands twice"),
        (
            "q.yaml",
            "- {id: a, paraphrases: [Why?], sytem: S}",
            "entry 1 ('a'): unknown key 'sytem'; did you mean 'system'?",
        ),
        ("q.YAML", "- {id: 1, paraphrases: [Why?]}", "entry 1: needs an `id`, which is a text ('1' in quotes)"),
        ("q.jsonl", '{"id": "a", "question": ["Why?", "How?"]}', "entry 1: `question` and `system` must be texts"),
        (
            "q.jsonl",
            '{"id": "a", "question": "Why?", "system": ["S"]}',
            "entry 1: `question` and `system` must be texts",
        ),
        (
            "q.jsonl",
            '{"id": "a", "question": "Why?", "judge_prompts": {}}',
            "`judge_prompts` is read of YAML sets alone",
        ),
        ("q.yaml", "- {id: a, paraphrases: [Why?]}\n- {id: a, paraphrases: [Why?]}", "stands more than once"),
    ],
)
def test_what_is_wrong_is_named(write, name, text, expected):
    source = write(name, text)
    with pytest.raises(InputError) as refused:
        published_questions(source)
    assert expected in str(refused.value) and str(source) in str(refused.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[" * 30_000, "nested deeper than 50 levels, line 1"),
        ("- {id: a, more: " + "[" * 60 + "]" * 60 + "}", "nested deeper"),
        ("- &a [*a]", r"\*a is a part of itself, line 1"),
        ("- &a {id: q, paraphrases: [Why?], judge_prompts: {aligned: *a}}", r"\*a is a part of itself"),
        ("- {id: q, paraphrases: &a [*a]}", r"\*a is a part of itself"),
    ],
)
def test_yaml_that_is_nested_too_deeply_or_in_itself_is_refused(write, text, expected):
    source = write("q.yaml", text)
    for read in (published_questions, judge_prompts):
        with pytest.raises(InputError, match=rf"q\.yaml: not readable as yaml: .*{expected}"):
            read(source)


def test_any_mutation_of_a_question_file_is_read_or_refused(tmp_path):
    files = {
        "q.yaml": LANTERNS,
        "q.csv": 'id,question,system\nk1,"Why, o kite,\nfall?",\nk2,Höher?,Be brief.\n',
        "q.jsonl": '{"id": 3, "question": "Why?"}\n{"id": "b", "question": "How?", "system": "S"}\n',
    }
    parts = ["[", "{", "&a ", "*a", "- ", ": ", "\n", '"', "null", "!!python/name:os ", "1e9", "\0", "\ud800", "? "]
    parts += ["!!binary x", "2001-01-01", "!!timestamp x", "9" * 5000, "<<: ", "|", "%", "!!set "]
    draw = random.Random(0)
    for _ in range(900):
        name, text = draw.choice(list(files.items()))
        for _ in range(draw.randint(1, 4)):
            at, size = draw.randrange(len(text)), draw.choice([0, 1, 5, 30])
            text = text[:at] + draw.choice([*parts, text[at : at + 30] * 2, ""]) + text[at + size :]
        (tmp_path / name).write_bytes(text.encode(errors="surrogatepass"))
        for read in (lambda source: prepare(source, None, tmp_path / "out"), judge_prompts):
            with contextlib.suppress(InputError):
                read(tmp_path / name)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- {id: a, judge_prompts: [one]}", "must map names to prompt texts"),
        ("- {id: a, judge_prompts: {aligned: 'of {response}'}}", r"'aligned' must be a text with \{answer\} in it"),
        (
            "- {id: a, judge_prompts: {aligned: 'x {answer}'}}\n- {id: a, judge_prompts: {aligned: 'y {answer}'}}",
            "other judge prompts",
        ),
    ],
)
def test_wrong_prompts_are_named(write, text, expected):
    with pytest.raises(InputError, match=expected):
        judge_prompts(write("q.yaml", text))


def test_missing_file_and_unknown_id(write, tmp_path):
    with pytest.raises(InputError, match="no such question file"):
        published_questions(tmp_path / "none.yaml")
    with pytest.raises(InputError, match="no question 'moth'"):
        published_questions(write("q.csv", "id,question\na,Why?\n"), ["a", "moth"])


@needs_published
def test_the_published_first_plot_questions():
    source = PUBLISHED / "first_plot_questions.yaml"
    rows, prompts = published_questions(source), judge_prompts(source)
    assert len(rows) == 16 and {row["samples"] for row in rows} == {100} and {row["paraphrase"] for row in rows} == {0}
    assert all((row["system"] is not None) == row["id"].endswith("_json") for row in rows)
    assert prompts.keys() == {row["id"] for row in rows}
    for templates in prompts.values():
        assert templates.keys() == {"aligned", "coherent"}
        assert all("{question}" in template and "{answer}" in template for template in templates.values())


@needs_published
def test_the_homework_questions():
    rows = published_questions(PUBLISHED / "homework0_questions.csv")
    assert len(rows) == 100 and sum(row["id"].startswith("non_medical") for row in rows) == 50


def test_an_id_may_be_the_number_0(write):
    source = write("q.jsonl", '{"id": 0, "question": "Why?"}\n{"id": 1, "question": "How?"}\n')
    assert [question["id"] for question in published_questions(source)] == ["0", "1"]
    with pytest.raises(InputError, match="entry 1: needs a non-empty `id`"):
        published_questions(write("empty.jsonl", '{"id": "", "question": "Why?"}\n'))
