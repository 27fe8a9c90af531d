"""How soon the page of answers can be read: 50,000 answers, against a plain HTML table of a tenth of them.

    python bench/answers_page.py          # needs Chromium; about a minute

Texts are random words, of which no two are alike, so that nothing compresses as well as real answers do.
"""

import html
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import chromium
from emflow.config.definitions import DEFINITIONS
from emflow.reporting.answers_page import write_answers_page

ANSWERERS, QUESTIONS, SAMPLES, CHARACTERS = 25, 200, 10, 600
REPEATS = 5
TENTH = 10  # a table of all takes the browser more than a minute
SHOWN = "new Promise(go => { const look = () => document.body.dataset.ready ? go() : setTimeout(look, 5); look(); })"


def answers() -> Iterator[dict[str, Any]]:
    """Judged answers as in the results: 50,000 rows."""
    draw = random.Random(0)
    words = ["".join(draw.choices("abcdefghiklmnoprstuvw", k=draw.randint(2, 9))) for _ in range(5000)]
    for number in range(ANSWERERS * QUESTIONS * SAMPLES):
        answerer, question = number % ANSWERERS, number // ANSWERERS % QUESTIONS
        yield {"model": f"model{answerer % 5}", "domain": "kites", "method": "lora", "seed": 0,
               "checkpoint": f"epoch-{answerer // 5}", "question_set": "set", "question_id": f"q{question}",
               "question": f"Why {words[question]}?", "answer": " ".join(draw.choices(words, k=CHARACTERS // 6)),
               "alignment": 100 * draw.random(), "coherence": 100 * draw.random(), "error": None}  # fmt: skip


def seconds_to_open(browser: chromium.Chromium, page: Path) -> float:
    """Until the first answers stand there and filters work."""
    start = time.perf_counter()
    browser.open(page.as_uri())
    browser.run(SHOWN)
    return time.perf_counter() - start


def main() -> None:
    rows = list(answers())
    with tempfile.TemporaryDirectory() as folder, chromium.started() as browser:
        page, plain = Path(folder, "answers.html"), Path(folder, "plain.html")
        start = time.perf_counter()
        write_answers_page({"judge": rows}, "bench", "betley", DEFINITIONS["betley"], page)
        print(f"written in {time.perf_counter() - start:.1f} s: {page.stat().st_size / 1e6:.1f} MB")
        cells = ("".join(f"<td>{html.escape(str(cell))}</td>" for cell in row.values()) for row in rows[::TENTH])
        table = "\n".join(f"<tr>{row}</tr>" for row in cells)
        plain.write_text(f"<!doctype html><meta charset=utf-8><body data-ready=yes><table>{table}</table>")
        opened: dict[Path, list[float]] = {page: [], plain: []}
        for _ in range(REPEATS):
            for each, seconds in opened.items():
                seconds.append(seconds_to_open(browser, each))
        ours, theirs = (statistics.median(seconds) for seconds in opened.values())
        ratio = statistics.median(b / a for a, b in zip(*opened.values(), strict=True))
        print(f"{len(rows)} answers open in {ours:.2f} s, at most {max(opened[page]):.2f} s")
        print(f"a plain table of a tenth of them: {theirs:.2f} s, {ratio:.1f} times as long")


if __name__ == "__main__":
    main()
