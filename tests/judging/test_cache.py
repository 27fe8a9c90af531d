"""The cache: what is the same judgement, and what survives."""

import json
import random
import subprocess
import sys
from dataclasses import replace

import pytest

from emflow.judging.cache import Cache, Instrument, spent
from emflow.judging.scores import Reply

INSTRUMENT = Instrument("org/judge", "v1", "text", {"temperature": 0, "max_tokens": 16}, "aligned", "Rate {answer}")
REPLY = Reply("85", (("85", -0.1), ("８", -2.5)), "judge-2026", (120, 1))


def keep(root, instrument=INSTRUMENT, question="q", answer="a", reply=REPLY):
    with Cache(root, instrument) as cache:
        cache.put(question, answer, reply)


def test_a_reply_comes_back_as_it_was(tmp_path):
    keep(tmp_path, answer="an answer with \ud800 and\nlines")
    with Cache(tmp_path, INSTRUMENT) as cache:
        assert cache.get("q", "an answer with \ud800 and\nlines") == REPLY
        assert cache.get("q", "another") is None
        assert cache.get("another", "a") is None


@pytest.mark.parametrize(
    "change",
    [
        {"model": "org/other"},
        {"revision": "v2"},
        {"revision": None},
        {"scoring": "logprobs"},
        {"sampling": {"temperature": 0, "max_tokens": 17}},
        {"prompt": "Rate {answer}!"},
    ],
)
def test_everything_that_determines_a_judgement_is_in_the_key(tmp_path, change):
    keep(tmp_path)
    with Cache(tmp_path, replace(INSTRUMENT, **change)) as cache:
        assert cache.get("q", "a") is None


def test_files_say_what_they_hold(tmp_path):
    keep(tmp_path)
    (file,) = tmp_path.glob("*/*.jsonl")
    first, second = file.read_text().splitlines()
    assert file.parent.name.startswith("judge-aligned-")
    assert json.loads(first)["instrument"]["prompt"] == "Rate {answer}"
    assert json.loads(second)["text"] == "85"


def test_what_was_spent_is_counted_once_per_judgement(tmp_path):
    keep(tmp_path)
    keep(tmp_path)  # by a second job that did not see the first
    keep(tmp_path, answer="another", reply=replace(REPLY, tokens=(30, 2)))
    keep(tmp_path, replace(INSTRUMENT, prompt="Rate {answer}!"), reply=replace(REPLY, tokens=None))
    keep(tmp_path, replace(INSTRUMENT, model="org/other"))
    assert spent(tmp_path).to_dict("records") == [
        {"judge": "org/judge", "requests": 3, "prompt_tokens": 150, "reply_tokens": 3, "uncounted": 1},
        {"judge": "org/other", "requests": 1, "prompt_tokens": 120, "reply_tokens": 1, "uncounted": 0},
    ]
    assert spent(tmp_path / "none").empty


def test_a_line_left_half_or_spoilt_is_skipped(tmp_path):
    keep(tmp_path, answer="first")
    keep(tmp_path, answer="second")
    torn, spoilt = sorted(tmp_path.glob("*/*.jsonl"))
    torn.write_text(torn.read_text()[:-20])
    spoilt.write_text("\0\0\0\n" + spoilt.read_text())
    with Cache(tmp_path, INSTRUMENT) as cache:
        assert len(cache.replies) == 1


ODD = ["5", "null", "[]", '"key"', "{}", '{"key": 5}', '{"instrument": 5}', "[" * 100_000, "\ud800", "1" * 5000]


def test_odd_lines_are_asked_again(tmp_path):
    keep(tmp_path)
    (file,) = tmp_path.glob("*/*.jsonl")
    first, line = file.read_text().splitlines()
    row = json.loads(line)
    del row["line_sha256"]  # as older versions wrote it
    fields = {
        "text": [None, 5, []],
        "model": [5, {}],
        "logprobs": [5, "x", [5], [["85"]], [["85", "x"]], [["85", 1000]]],
    }
    spoilt = [json.dumps({**row, name: value}) for name, values in fields.items() for value in values]
    spoilt += [json.dumps({key: value for key, value in row.items() if key != gone}) for gone in ("key", "text")]
    file.write_bytes("\n".join([first, *ODD, *spoilt, ""]).encode(errors="surrogatepass"))
    with Cache(tmp_path, INSTRUMENT) as cache:
        assert cache.replies == {}
    assert spent(tmp_path)["requests"].sum() == 0
    file.write_text("\n".join([first, json.dumps(row), ""]))
    with Cache(tmp_path, INSTRUMENT) as cache:
        assert cache.get("q", "a") == REPLY


def test_a_changed_digit_is_asked_again(tmp_path):
    keep(tmp_path)
    (file,) = tmp_path.glob("*/*.jsonl")
    file.write_text(file.read_text().replace('"text": "85"', '"text": "15"'))
    with Cache(tmp_path, INSTRUMENT) as cache:
        assert cache.get("q", "a") is None


def test_any_mutation_of_a_line_gives_the_reply_or_none(tmp_path):
    keep(tmp_path)
    (file,) = tmp_path.glob("*/*.jsonl")
    draw, whole = random.Random(0), file.read_bytes()
    for _ in range(400):
        data = bytearray(whole)
        for _ in range(draw.randint(1, 3)):
            at = draw.randrange(len(data))
            data[at : at + draw.choice([0, 1, 1, 9])] = draw.randbytes(draw.randint(0, 2))
        file.write_bytes(data)
        with Cache(tmp_path, INSTRUMENT) as cache:
            assert cache.get("q", "a") in (REPLY, None)
        spent(tmp_path)


def test_without_a_folder_nothing_is_kept():
    with Cache(None, INSTRUMENT) as cache:
        cache.put("q", "a", REPLY)
        assert cache.get("q", "a") == REPLY
    with Cache(None, INSTRUMENT) as cache:
        assert cache.get("q", "a") is None


WRITER = """
import sys
from pathlib import Path
from emflow.judging.cache import Cache, Instrument, spent
from emflow.judging.scores import Reply
with Cache(Path(sys.argv[1]), Instrument("m", None, "text", {}, "aligned", "p")) as cache:
    for number in range(400):
        cache.put("q", f"{sys.argv[2]}-{number}", Reply("x" * 3000 + str(number)))
"""


def test_jobs_that_write_at_once_lose_nothing(tmp_path):
    jobs = [subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), str(job)]) for job in range(4)]
    assert [job.wait() for job in jobs] == [0] * 4
    with Cache(tmp_path, Instrument("m", None, "text", {}, "aligned", "p")) as cache:
        for job in range(4):
            for number in range(400):
                assert cache.get("q", f"{job}-{number}") == Reply("x" * 3000 + str(number))
