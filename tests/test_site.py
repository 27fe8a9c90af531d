"""The site: every page of docs/ stands in its navigation. `make docs` builds it, and is strict about links."""

from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
ELSEWHERE = {"index.md", "config.md", "profiles.md"}  # made by docs/hooks.py


def test_every_page_stands_in_the_navigation_once():
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]
    sections = [pages for entry in nav for pages in entry.values()]
    listed = [page for pages in sections for entry in ([{"": pages}] if isinstance(pages, str) else pages)
              for page in entry.values()]  # fmt: skip
    assert sorted(listed) == sorted(
        ELSEWHERE | {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")}
    )
