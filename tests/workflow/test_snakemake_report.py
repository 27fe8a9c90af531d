"""`snakemake --report` packs every result with its caption into one HTML file."""

import html

from pipelines import ROOT, snakemake


def test_the_html_report_is_complete(demo, tmp_path):
    done = snakemake(demo, "--report", tmp_path / "report.html")
    assert done.returncode == 0, done.stdout
    page = html.unescape((tmp_path / "report.html").read_text()).replace("\\n", " ")
    figures = [figure.name for figure in (demo / "results/report/figures").glob("*.png")]
    assert figures
    for name in ("em_rates_summary.csv", "summary.md", "provenance.json", "rates.csv", *figures):
        assert name in page, name
    for caption in (ROOT / "workflow/report").glob("*.rst"):
        assert opening(caption.read_text()) in page, caption.name


def opening(caption: str) -> str:
    """The first plain words of a caption."""
    return caption.split("*")[0].split("{")[0].strip().split("\n")[0][:30] or "grows model organisms"
