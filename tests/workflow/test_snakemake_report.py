"""`snakemake --report` packs every result with its caption into one HTML file."""

import html
from base64 import b64encode
from pathlib import Path

import pytest

from emflow.files import read_jsonl
from pipelines import ROOT, snakemake


@pytest.fixture(scope="module")
def packed(demo, tmp_path_factory) -> Path:
    """The report of a finished study."""
    file = tmp_path_factory.mktemp("packed") / "report.html"
    done = snakemake(demo, "--report", file)
    assert done.returncode == 0, done.stdout
    return file


def test_the_html_report_is_complete(demo, packed):
    page = html.unescape(packed.read_text()).replace("\\n", " ")
    figures = list((demo / "results/report/figures").glob("*.png"))
    assert figures
    for name in ("em_rates_summary.csv", "summary.md", "provenance.json", "rates.csv", *(f.name for f in figures)):
        assert name in page, name
    for figure in figures:
        assert b64encode(figure.read_bytes()).decode() in page, f"{figure.name} is another figure there"
    others = ("interventions", "trajectory")  # that this study has none of
    captions = {file for file in (ROOT / "workflow/report").glob("*.rst") if file.stem not in others}
    for caption in captions:
        assert opening(caption.read_text()) in page, caption.name


def opening(caption: str) -> str:
    """The first plain words of a caption."""
    return caption.split("*")[0].split("{")[0].strip().split("\n")[0][:30] or "grows model organisms"


def test_both_pages_open_in_a_browser(demo, packed, browser):
    answers = demo / "results/report/answers.html"
    browser.open(packed.as_uri())
    assert "emflow" in browser.run("document.body.innerText") and browser.errors == []
    browser.open(answers.as_uri())
    wait = "new Promise(go => { const look = () => document.body.dataset.ready ? go() : setTimeout(look, 5); look(); })"
    files = [file for file in (demo / "results").rglob("generations/**/*.jsonl") if "_domain" in str(file)]
    given = sum(map(len, map(read_jsonl, files)))  # of the study alone: others may have been asked more
    assert browser.run(f"{wait}.then(() => data.answers.text.length)") == given
    assert browser.errors == [] and browser.requests == []
