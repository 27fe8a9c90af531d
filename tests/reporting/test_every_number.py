"""Every number of summary.md stands in a CSV beside it: of a table and of a figure in its own, of words in one of their
section's."""

import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

import planted
from emflow.paths import ReportFolder
from emflow.reporting.report import SECTIONS, write_report

DESIGN = ("study", "design")  # what was run and asked, and the level and thresholds by which all is told
HEADLINE = ("controls", "matched")  # what its words are of, besides its own table
NUMBER = re.compile(r"(?<![\w./-])[+−-]?\d+(?:,\d{3})*(?:\.\d+)?(?![\w/])")
NONE = re.compile(r"```.*?```|`[^`]*`|< 0\.0?01|\]\([^)]*\)|\(\w+ (?:et al\. )?\d{4}\)|\w+'s \w+|0\.\.100", re.DOTALL)


@pytest.fixture
def page(report) -> "Page":
    return Page(report)


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    """A report with every section."""
    folder, design = tmp_path_factory.mktemp("report"), planted.design()
    numbers = planted.numbers(planted.judged(), design)
    assert all(write(numbers, design) is not None for write in SECTIONS)
    write_report(numbers, design, ReportFolder(folder))
    return folder


def numbers_in(text: str) -> list[str]:
    """Numbers as they are written, without those in code, links, years of citations and names as `epoch-1`."""
    return NUMBER.findall(NONE.sub(" ", text))


class Page:
    """The blocks of a report, each with the CSV files in which its numbers may stand."""

    def __init__(self, folder: Path) -> None:
        self.summary = (folder / "summary.md").read_text()
        self.values = {f"{file.parent.name}/{file.stem}": values(file) for file in folder.glob("*/*.csv")}

    def blocks(self) -> Iterator[tuple[str, list[str]]]:
        for section in self.summary.split("\n## ")[1:]:
            tables = [f"tables/{name}" for name in re.findall(r"\]\(tables/(\S+)\.csv\)", section)]
            if section.startswith("Headline"):
                tables += [f"tables/{name}" for name in HEADLINE]
            title, *blocks = section.strip().split("\n\n")
            yield title, []
            for block, after in zip(blocks, [*blocks[1:], ""], strict=True):
                figure = re.search(r"\(figures/(\S+)\.(png|csv)\)", block)
                table = re.search(r"\(tables/(\S+)\.csv\)", after)
                if figure:
                    yield block, [f"figures/{figure[1]}"]
                elif block.startswith("|"):
                    assert table, block
                    yield block, [f"tables/{table[1]}"]
                else:
                    yield block, tables

    def missing(self) -> list[str]:
        """Numbers that stand in none of their files."""
        design = [self.values[f"tables/{name}"] for name in DESIGN]
        return [
            f"{number} of: {block[:200]}"
            for block, files in self.blocks()
            for number in numbers_in(block)
            if not any(is_in(number, found) for found in [*(self.values[file] for file in files), *design])
        ]


def values(path: Path) -> set[float]:
    """Numbers of a CSV: its cells, shares in percent too, times and memory in other units; how many rows it has, how
    many of them have a value in each column, and how many have none, or have it true, or false."""
    table = pd.read_csv(path, low_memory=False)
    numbers = pd.concat([pd.to_numeric(table[column], errors="coerce") for column in table]).dropna()
    inside = [float(part) for cell in table.astype(str).to_numpy().ravel() for part in numbers_in(cell)]
    counts = [n for column in table for n in (table[column].notna().sum(), table[column].isna().sum())]
    counts += [n for column in table.select_dtypes(bool) for n in (table[column].sum(), (~table[column]).sum())]
    units = [table[c] / by for c in table if c.endswith("seconds") for by in (60, 3600)]
    units += [table[c] / 1024 for c in table if c.endswith("_mb")]
    return {len(table), *counts, *numbers, *(100 * numbers), *inside, *(n for unit in units for n in unit)}


def is_in(number: str, found: set[float]) -> bool:
    value, digits = float(number.replace(",", "").replace("−", "-")), len(number.partition(".")[2])
    return any(abs(value - other) <= 0.5001 * 10**-digits for other in found)


def test_every_number_stands_in_a_csv(page):
    assert len(re.findall(r"^## ", page.summary, flags=re.MULTILINE)) == len(SECTIONS)
    assert sum(len(numbers_in(block)) for block, _ in page.blocks()) > 5000
    assert page.missing() == []


def test_a_number_that_stands_nowhere_is_found(page):
    blocks = [(text, next(n for n in numbers_in(text) if "." in n)) for text, _ in page.blocks()
              if any("." in n for n in numbers_in(text))]  # fmt: skip
    assert len(blocks) > 20
    for text, number in blocks:
        page.summary = page.summary.replace(text, text.replace(number, "777.7", 1), 1)
    assert sum(missing.startswith("777.7") for missing in page.missing()) == len(blocks)
