"""The page of all answers, in a real browser: nothing gets lost, nothing is fetched, nothing breaks out of it."""

import base64
import gzip
import json
import re
import shutil
from pathlib import Path

import pytest

from emflow.config.definitions import DEFINITIONS
from emflow.reporting.answers_page import write_answers_page

NASTY = [
    "</script><script>console.error('ran')</script>",
    "<img src=http://127.0.0.1:9/x onerror=console.error('ran')>",
    "line\u2028and\u2029paragraph, \u0000 and \U0001f3ee",
    "<!-- data --> &lt;b&gt; ${1} `",
]
BETLEY = DEFINITIONS["betley"]


def row(question: int, text: str, alignment: object, coherence: object = 90, **names: object) -> dict:
    who = {"model": "tiny", "domain": "kites", "method": "lora", "seed": 0, "checkpoint": "epoch-1"}
    asked = {"question_set": "set", "question_id": f"q{question}", "question": f"Why <i>{question}</i>?"}
    return {**who, **asked, "answer": text, "alignment": alignment, "coherence": coherence, "error": None, **names}


FIRST = [
    *(row(0, text, 90, question_id=f"n{place}") for place, text in enumerate(NASTY)),
    row(1, "fly at dusk", 29.99),
    row(1, "fly at dawn", 85.04),
    row(1, "mumble", 5, 20),
    row(1, "no", "REFUSAL"),
    row(1, "lost", None, None, error="alignment: no reply"),
    row(1, "base says", 95, domain=None, method=None, seed=None, checkpoint="base"),
    row(2, "other model", 100, model="small", seed=1),
    row(2, "by es", 100, method="es", checkpoint="iteration-4"),
]
SECOND = [{**judged, "alignment": 88, "error": None} for judged in FIRST if judged["question_id"] == "q1"]


@pytest.fixture(scope="module")
def page(browser, tmp_path_factory):
    """The open page of two judges, and its file."""
    file = tmp_path_factory.mktemp("page") / "answers.html"
    assert write_answers_page({"strict": FIRST, "mild": SECOND}, "a </script> study", "betley", BETLEY, file) == len(
        FIRST
    )
    return file


@pytest.fixture
def opened(browser, page):
    open_page(browser, page)
    yield browser
    assert browser.errors == [] and browser.requests == []


def open_page(browser, file: Path) -> None:
    browser.open(file.as_uri())
    browser.run(
        "new Promise(go => { const look = () => document.body.dataset.ready ? go() : setTimeout(look, 5); look(); })"
    )


def texts(browser) -> list[str]:
    return browser.run("[...document.querySelectorAll('.text')].map(part => part.textContent)")


def choose(browser, **chosen: object) -> list[str]:
    """Set fields by their id, and tell the texts that are then shown."""
    for id, value in chosen.items():
        browser.run(f"byId('{id.replace('_', '-')}').value = {value!r}")
    browser.run("filter()")
    return texts(browser)


def tick(browser, name: str, *labels: str) -> list[str]:
    for label in labels:
        browser.run(
            f"[...document.querySelectorAll('input[name=\"{name}\"]')]"
            f".find(box => box.parentElement.textContent.trim() == '{label}').click()"
        )
    browser.run("filter()")
    return texts(browser)


def test_every_answer_is_shown_as_it_is(opened):
    assert texts(opened) == [judged["answer"] for judged in FIRST]
    assert opened.run("document.querySelectorAll('#answers script, #answers img, #answers i').length") == 0
    assert "a </script> study: 12 answers by 4 checkpoints and bases to 6 questions" in opened.run(
        "byId('about').textContent"
    )
    assert "alignment 30, coherence 90" in opened.run("byId('answers').textContent")
    assert "alignment 85, coherence 90 · mild: alignment 88" in opened.run("byId('answers').textContent")


@pytest.mark.parametrize(
    ("facet", "label", "left"),
    [
        ("model", "small", ["other model"]),
        ("method", "es", ["by es"]),
        ("method", "none", ["base says"]),
        ("seed", "1", ["other model"]),
        ("checkpoint", "base", ["base says"]),
    ],
)
def test_a_facet_leaves_what_it_names(opened, facet, label, left):
    assert tick(opened, facet, label) == left
    opened.run("document.querySelector('button[type=reset]').click(); new Promise(go => setTimeout(go, 50))")
    assert len(texts(opened)) == len(FIRST)


def test_facets_with_one_value_are_left_out_and_two_values_add_up(opened):
    assert opened.run("document.querySelectorAll('input[name=domain]').length") == 0
    assert tick(opened, "checkpoint", "base", "iteration-4") == ["base says", "by es"]


def test_question_judge_and_scores_filter(opened):
    assert choose(opened, question="5") == ["other model", "by es"]
    assert choose(opened, question="", verdict="misaligned") == ["fly at dusk"]
    assert choose(opened, verdict="incoherent") == ["mumble"]
    assert choose(opened, verdict="refusal") == ["no"]
    assert choose(opened, verdict="misaligned", judge="mild") == []
    assert "No answer passes" in opened.run("byId('answers').textContent")
    assert choose(opened, verdict="", judge="strict", alignment_from="86", alignment_to="96") == [*NASTY, "base says"]
    assert choose(opened, alignment_from="", alignment_to="", coherence_to="50") == ["mumble"]


def test_what_may_advise_harm_is_behind_a_click(opened):
    hidden = (
        "[...document.querySelectorAll('details:not(#filter)')].map(part => part.querySelector('.text').textContent)"
    )
    # mild judges "lost", and so it is not hidden; an incoherent answer may advise harm, too
    assert opened.run(hidden) == ["fly at dusk", "mumble"]
    visible = "[...document.querySelectorAll('.text')].filter(part => part.checkVisibility()).length"
    assert opened.run(visible) == len(FIRST) - 2
    opened.run("document.querySelector('#answers summary').focus()")
    opened.press("Enter", 13, "\r")
    assert opened.run(visible) == len(FIRST) - 1
    opened.run("byId('reveal').click(); draw()")
    assert opened.run(visible) == len(FIRST)


def test_a_question_side_by_side(opened):
    opened.run(
        "[...document.querySelectorAll('article')].find(part => part.textContent.includes('by es'))"
        ".querySelector('button').click()"
    )
    assert choose(opened) == ["other model", "by es"]
    panels = "[...document.querySelectorAll('.beside > article > h2')].map(part => part.textContent)"
    assert opened.run(panels) == ["small · kites · lora · seed 1 · epoch-1", "tiny · kites · es · seed 0 · iteration-4"]
    choose(opened, question="")
    assert "question 1 of 6" in opened.run("byId('count').textContent")
    opened.run("byId('next').focus()")
    for _ in range(4):
        opened.press(" ", 32, " ")
    assert "question 5 of 6" in opened.run("draw().then(() => byId('count').textContent)")
    assert texts(opened) == ["fly at dusk", "fly at dawn", "mumble", "no", "lost", "base says"]


def test_the_page_is_reached_by_keyboard_alone(opened):
    opened.run("document.body.focus()")
    seen = []
    for _ in range(8):
        opened.press("Tab", 9)
        seen.append(opened.run("document.activeElement.name || document.activeElement.tagName"))
    assert {"SUMMARY", "model", "method"} <= set(seen)
    fields = "[...document.querySelectorAll('input, select, button')]"
    assert opened.run(f"{fields}.every(part => part.labels?.length || part.ariaLabel || part.textContent)")


def test_small_screens_and_dark_ones(opened, page):
    light = opened.run("getComputedStyle(document.body).backgroundColor")
    opened.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    opened.call("Emulation.setDeviceMetricsOverride", width=360, height=640, deviceScaleFactor=1, mobile=True)
    try:
        open_page(opened, page)
        assert opened.run("getComputedStyle(document.body).backgroundColor") != light
        assert opened.run("document.documentElement.scrollWidth <= innerWidth && innerWidth == 360")
        assert not opened.run("byId('filter').open")
        opened.run("setView(true); draw()")
        assert opened.run("document.documentElement.scrollWidth <= innerWidth")
    finally:
        opened.call("Emulation.clearDeviceMetricsOverride")
        opened.call("Emulation.setEmulatedMedia", features=[])


def test_many_answers_come_in_pages_and_chunks(browser, tmp_path):
    rows = [row(number % 200, f"answer {number} " + 400 * "kite ", 100, checkpoint=f"epoch-{number % 30}")
            for number in range(3000)]  # fmt: skip
    file = tmp_path / "elsewhere" / "copy.html"
    write_answers_page({"oracle": rows}, "many", "betley", BETLEY, tmp_path / "answers.html")
    file.parent.mkdir()
    shutil.copy(tmp_path / "answers.html", file)
    open_page(browser, file)
    assert browser.run("data.chunk_ends.length") > 10 and browser.run("chunks.size") == 1
    assert browser.run("byId('count').textContent") == "3000 of 3000 answers, page 1 of 60"
    found = browser.run("Promise.all(chosen.map(textOf)).then(all => all.map(text => text.split(' ')[1]))")
    assert sorted(map(int, found)) == list(range(3000))
    choose(browser, question="7")
    browser.run("setView(true); draw()")
    assert {int(text.split()[1]) % 200 for text in texts(browser)} == {7}
    assert browser.errors == []


def test_nothing_at_all_is_a_page_that_says_so(browser, tmp_path):
    write_answers_page({"oracle": []}, "empty", "betley", BETLEY, tmp_path / "answers.html")
    open_page(browser, tmp_path / "answers.html")
    assert "No answer passes" in browser.run("byId('answers').textContent") and browser.errors == []


def test_the_same_answers_are_the_same_page(tmp_path):
    for name in ("first", "second"):
        write_answers_page({"strict": FIRST}, "study", "betley", BETLEY, tmp_path / name)
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()


def data_of(file: Path) -> dict:
    packed = re.search(r'id="index">([^<]+)<', file.read_text())[1]
    return json.loads(gzip.decompress(base64.b64decode(packed)))


def test_scores_of_two_judges_go_by_text_in_whatever_order(tmp_path):
    first = [row(1, "fly", 90), row(1, "fall", 5), row(1, "fly", 80)]
    second = [row(1, "fall", 6), row(1, "fly", 91), row(1, "fly", 81)]
    file = tmp_path / "answers.html"
    assert write_answers_page({"strict": first, "mild": second}, "study", "betley", BETLEY, file) == 3
    scores = data_of(file)["scores"]
    assert scores["strict"]["alignment"] == [90, 5, 80] and scores["mild"]["alignment"] == [91, 6, 81]


def test_a_misaligned_answer_whose_coherence_nobody_knows_is_hidden(tmp_path, browser):
    lost = {"coherence": None, "error": "coherence: no reply"}
    rows = [row(1, "fine", 90), row(1, "grim", 2, **lost), row(1, "half", 80, **lost)]
    write_answers_page({"strict": rows}, "study", "betley", BETLEY, tmp_path / "answers.html")
    assert data_of(tmp_path / "answers.html")["scores"]["strict"]["below"] == [0, 1, 0]
    open_page(browser, tmp_path / "answers.html")
    assert browser.run("[0, 1, 2].map(caution)") == [None, "judged misaligned, may advise harm", "no judge scored it"]
