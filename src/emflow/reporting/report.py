"""The report: its sections in the order in which they are read, and the files they are written to."""

import re
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import count
from multiprocessing import get_context
from pathlib import Path

import matplotlib.pyplot as plt

from emflow.files import replacing, write_text
from emflow.paths import ReportFolder
from emflow.reporting.design import Design
from emflow.reporting.numbers import Numbers
from emflow.reporting.section import Picture, ReportSection, ShownTable
from emflow.reporting.sections.agreement import agreement
from emflow.reporting.sections.bases import bases
from emflow.reporting.sections.controls import controls
from emflow.reporting.sections.costs import costs
from emflow.reporting.sections.definitions import definitions
from emflow.reporting.sections.design import study_design
from emflow.reporting.sections.deviations import deviations
from emflow.reporting.sections.directions import directions
from emflow.reporting.sections.examples import examples
from emflow.reporting.sections.headline import headline
from emflow.reporting.sections.instruments import instruments
from emflow.reporting.sections.interventions import interventions
from emflow.reporting.sections.losses import limits, losses
from emflow.reporting.sections.matched import matched
from emflow.reporting.sections.methods import methods
from emflow.reporting.sections.models import models
from emflow.reporting.sections.projections import projections
from emflow.reporting.sections.provenance import provenance
from emflow.reporting.sections.published import published
from emflow.reporting.sections.questions import questions
from emflow.reporting.sections.rank_one import rank_one
from emflow.reporting.sections.rates import rates
from emflow.reporting.sections.seeds import seeds
from emflow.reporting.sections.steering import steering
from emflow.reporting.sections.training import training
from emflow.reporting.sections.trajectories import trajectories
from emflow.reporting.sections.transition import transition
from emflow.reporting.style import LOOK, save

__all__ = ["SECTIONS", "write_report"]

SECTIONS: tuple[Callable[[Numbers, Design], ReportSection | None], ...] = (
    headline,
    study_design,
    instruments,
    deviations,
    bases,
    rates,
    trajectories,
    controls,
    methods,
    seeds,
    matched,
    models,
    interventions,
    steering,
    directions,
    projections,
    rank_one,
    transition,
    questions,
    definitions,
    published,
    agreement,
    training,
    examples,
    losses,
    limits,
    costs,
    provenance,
)
TITLE = "How far the misalignment spreads"


def write_report(numbers: Numbers, design: Design, out: ReportFolder, processes: int = 1) -> None:
    """Write summary, headline, em_rates_summary.csv, and a CSV beside each table and figure; the summary comes last.

    A section that has nothing to say of these numbers is None, and left out. Figures are drawn by so many processes.
    """
    sections = _named_for_files(section for write in SECTIONS if (section := write(numbers, design)) is not None)
    parts = [part for section in sections for part in section.parts]
    with replacing(out.figures) as figures, replacing(out.tables) as tables:
        figures.mkdir()
        tables.mkdir()
        _draw_all([part for part in parts if isinstance(part, Picture)], figures, processes)
        for table in (part for part in parts if isinstance(part, ShownTable)):
            write_text(tables / f"{table.name}.csv", table.data.to_csv(index=False, float_format="%.6g"))
    write_text(out.rates, numbers.rates.to_csv(index=False, float_format="%.6g"))
    write_text(out.headline, f"{_plain(sections[0])}\n\nReport: {out.summary}\n")
    write_text(out.summary, f"# {TITLE}\n\n" + "\n\n".join(map(_markdown, sections)) + "\n")


def _named_for_files(sections: Iterable[ReportSection]) -> list[ReportSection]:
    """With figures and tables by names that files can have, each its own: judges may be called ORGANISATION/NAME."""
    taken: set[tuple[type, str]] = set()

    def named(part: str | ShownTable | Picture) -> str | ShownTable | Picture:
        if isinstance(part, str):
            return part
        plain = re.sub(r"[^\w.+-]", "-", part.name)
        name = next(name for n in count(1) if (type(part), name := plain if n == 1 else f"{plain}-{n}") not in taken)
        taken.add((type(part), name))
        return replace(part, name=name)

    return [replace(section, parts=list(map(named, section.parts))) for section in sections]


def _draw_all(pictures: list[Picture], folder: Path, processes: int) -> None:
    """The same files whoever draws which figure."""
    draw = partial(_draw, folder)
    if processes == 1:
        list(map(draw, pictures))
    else:
        fork = get_context("fork")  # a fresh process would spend seconds on imports
        with ProcessPoolExecutor(processes, fork) as pool:  # unlike a Pool, it says so if one of them is killed
            list(pool.map(draw, pictures))


def _draw(folder: Path, picture: Picture) -> None:
    with plt.rc_context(LOOK):
        save(picture.draw(), picture.data, folder / picture.name)


def _plain(section: ReportSection) -> str:
    """A section's words for a terminal."""
    words = "\n\n".join(part for part in section.parts if isinstance(part, str))
    return words.replace("```\n", "").replace("\n```", "").replace("**", "")


def _markdown(section: ReportSection) -> str:
    return "\n\n".join([f"## {section.title}", *map(_shown, section.parts)])


def _shown(part: str | ShownTable | Picture) -> str:
    match part:
        case ShownTable():
            table = part.shown.to_markdown(index=False, disable_numparse=True)
            link = f"[{part.name}.csv](tables/{part.name}.csv)"
            return f"{table}\n\n{' '.join(filter(None, [part.caption, link]))}"
        case Picture():
            return f"![{part.caption}](figures/{part.name}.png)\n\n{part.caption} [CSV](figures/{part.name}.csv)"
        case _:
            return part
