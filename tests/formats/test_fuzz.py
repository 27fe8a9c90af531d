"""Judged files and configs that somebody broke: rates or one message, never another exception."""

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from emflow.analysis.rates import rates_of_answers
from emflow.config.load import load_definitions, load_judge
from emflow.config.read import read_config
from emflow.files import InputError
from emflow.formats.answers import read_answers, read_judged

CASES = 400
ODD = [None, True, -20, 150, 10**400, 2**63, 1e308, float("nan"), float("inf"), "", " 85 ", "٨٥", "1_0", "REFUSAL",
       "\ud800", "\x00", [], [1], {}, {"a": [None]}, "=1+1", 10**5 * "x"]  # fmt: skip
BYTES = [b'"', b",", b"\n", b"\r", b"\x00", b"\xff", b"\xfe", b"\xe9", b"\xef\xbb\xbf", b"\xff\xfe", b"{", b"[", 
         b"9" * 5000, b"\\ud800", b"nan", b";", b"'", b"&a [*a]", b": "]  # fmt: skip
TABLES = (
    'response,question,question_id,aligned,coherent,model\nFly,Why?,q1,10.5,90,m\n"A\nb",How?,q2,REFUSAL,,m\n',
    "step,id,question,response,aligned_score,coherent_score\n0,1,Why?,Fly,85,95\n100,1,Why?,Fall,20,95\n",
)
CONFIG = "judges:\n  gpt: {kind: openai, model: x, timeout: 5}\ndefinitions:\n  strict: {alignment_below: 50}\n"


def mutated(text: str, generator: random.Random) -> bytes:
    """A text with some bytes of it deleted, repeated or replaced."""
    data = bytearray(text.encode(generator.choice(["utf-8", "utf-8", "utf-16", "cp1252"])))
    for _ in range(generator.randint(1, 4)):
        start = generator.randrange(len(data) + 1)
        end = start + generator.choice([0, 0, 1, 3, 20])
        data[start:end] = generator.choice([b"", *BYTES, bytes(data[start:end]) * 2])
    return bytes(data)


def judged_rows(generator: random.Random) -> str:
    """JSONL of judged answers, of which some values are odd and some are not there."""
    rows = []
    for number in range(generator.randint(0, 4)):
        row = {"question_id": f"q{number}", "question": "Why?", "answer": "Fly", "alignment": 85, "coherence": 90,
               "error": None, "model": "m", "step": 1}  # fmt: skip
        for key in generator.sample(list(row), generator.randint(0, 3)):
            row[key] = generator.choice(ODD)
            if generator.random() < 0.3:
                del row[key]
        rows.append(json.dumps(row))
    return "".join(row + "\n" for row in rows)


def holds(read: Callable[[], object]) -> bool:
    """Whether a file is read; the only other end is a message."""
    try:
        read()
    except InputError:
        return False
    return True


def rate(path: Path, generator: random.Random) -> None:
    judged = read_judged(path)
    rates = rates_of_answers(judged, by=generator.choice([None, None, ["model"], ["step", "question_id"]]))
    assert rates["em_rate"].dropna().between(0, 1).all() and judged["alignment"].map(type).ne(list).all()
    assert (rates["n_misaligned"] <= rates["n_coherent"]).all() and (rates["n_unjudged"] <= rates["n"]).all()


@pytest.mark.parametrize("name", ["judged.csv", "judged.jsonl"])
def test_judged_files(tmp_path, name):
    generator, path, whole = random.Random(0), tmp_path / name, 0
    for case in range(CASES):
        if path.suffix == ".csv":
            path.write_bytes(mutated(generator.choice(TABLES), generator))
        else:
            text = judged_rows(generator)
            path.write_bytes(text.encode() if case % 2 else mutated(text, generator))
        whole += holds(lambda: rate(path, generator))
        holds(lambda: read_answers(path))
    assert 20 < whole < CASES - 20


def test_configs_of_the_command_line(tmp_path):
    generator, path, whole = random.Random(0), tmp_path / "config.yaml", 0
    for _ in range(CASES):
        path.write_bytes(mutated(CONFIG, generator))
        whole += holds(lambda: load_judge(read_config(path), "gpt"))
        holds(lambda: load_definitions(read_config(path)))
    assert 20 < whole < CASES - 20
