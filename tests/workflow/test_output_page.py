"""docs/output.md names every file that a run leaves, and every key of each: as in paths.py and a finished run."""

import inspect
from collections.abc import Iterator
from pathlib import Path

from emflow.paths import Answerer, Results, RunFolder
from output_page import files, page, pattern, unlike


def spelt(part: object) -> Iterator[str]:
    """Every path that a class of paths.py spells, names in braces."""
    for name, member in inspect.getmembers(type(part)):
        if name.startswith("_") or name == "digest":  # which stands beside a folder of any name
            continue
        if isinstance(member, property):
            yield from each(getattr(part, name))
        elif inspect.isfunction(member) and inspect.signature(member).return_annotation is Path:
            names = [p for p in inspect.signature(member).parameters if p != "self"]
            for section in ("models", "judges", "rewards") if "section" in names else ("",):
                yield str(getattr(part, name)(*(section if p == "section" else f"{{{p}}}" for p in names)))


def each(found: object) -> Iterator[str]:
    if isinstance(found, Path):
        yield str(found)
    elif isinstance(found, tuple) and not isinstance(found, Answerer):  # the report's folder
        yield from spelt(found)


def test_every_path_that_the_package_spells_is_on_the_page():
    run = Results().run(("{model}", "{domain}", "{method}", "{seed}"))
    paths = {*spelt(Results()), *spelt(run), *spelt(run.answerer), *spelt(Results().base("{model}"))}
    paths |= {str(Results.digest(Results().tiny_model("{seed}"))), str(Results().log("{rule}"))}
    listed = [path for entry in page() for path in entry.paths]
    assert len(paths) > 35
    assert [path for path in sorted(paths) if not any(p == path or p.startswith(f"{path}/") for p in listed)] == []
    assert isinstance(run, RunFolder)


def test_the_page_says_what_the_finished_study_holds_and_nothing_else(demo):
    assert unlike(demo / "results", whole=True) == []
    paths = files(demo / "results")
    absent = [e.paths for e in page() if not any(pattern(p).fullmatch(path) for p in e.paths for path in paths)]
    only = [entry.paths for entry in page() if entry.text.startswith("Only")]
    assert [paths for paths in absent if paths not in only] == []
