"""What a user sees while a stage works: one progress display, one line that says what was made, one clear error."""

import json
import logging
import os
import platform
import sys
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from emflow import gpus
from emflow.files import InputError, exclusive_lock, is_full_disk
from emflow.start import spare_imports

__all__ = ["RANK_USED", "RAN_ON", "finished", "note", "progress", "stage"]

RAN_ON, RANK_USED = "ran on ", "a rank used "  # what follows in a log is JSON
LOG_SECONDS = 20  # between two lines where there is no terminal to draw a bar on


class Advance(Protocol):
    """Report `steps` more units done, and a short note on how it goes (e.g. "loss 1.23")."""

    def __call__(self, steps: int = 1, note: str = "") -> None: ...


@contextmanager
def progress(description: str, total: int, done: int = 0) -> Iterator[Advance]:
    """Show how far a long loop is: a bar on a terminal, a line now and then in a log file."""
    console = Console(file=sys.stderr)
    if console.is_terminal:
        columns = (
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
            TimeElapsedColumn(), TimeRemainingColumn(), TextColumn("{task.fields[note]}"),
        )  # fmt: skip
        with Progress(*columns, console=console, transient=True) as bars:
            task = bars.add_task(description, total=total, completed=done, note="")
            yield lambda steps=1, note="": bars.update(task, advance=steps, note=note)
        return

    start = last = time.monotonic()

    def advance(steps: int = 1, note: str = "") -> None:
        nonlocal done, last
        done += steps
        if time.monotonic() - last >= LOG_SECONDS:
            last = time.monotonic()
            print(
                f"{description}: {done}/{total} after {last - start:.0f} s {note}".rstrip(),
                file=sys.stderr,
                flush=True,
            )

    yield advance


def note(line: str) -> None:
    """Say in one line what is about to happen."""
    print(line, file=sys.stderr, flush=True)
    logging.getLogger("emflow").info(line)


def finished(line: str) -> None:
    """Say in one line what a rule made."""
    print(f"✓ {line}", file=sys.stderr, flush=True)
    logging.getLogger("emflow").info(line)


def _machine() -> dict[str, Any]:
    """What the work ran on."""
    cpus = len(os.sched_getaffinity(0))
    return {"machine": platform.machine(), "system": platform.platform(), "cpus": cpus, **gpus.used()}


@contextmanager
def stage(log: str | os.PathLike[str], resources: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Run a rule's work: warnings and tracebacks go to its log; a user's error ends it in one line, no traceback.

    `resources` are the rule's, where a GPU may be among them.

    A cluster may start a job again while its first start still runs: whoever comes second waits, beside the log.
    """
    spare_imports()
    gpus.ask_for_gpu(resources or {})
    path = Path(log)
    path.parent.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(filename=path, level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    logging.captureWarnings(True)
    logging.raiseExceptions = False  # a log on a full disk is short, and no reason for a traceback
    warnings.simplefilter("default")
    try:
        with exclusive_lock(path.with_name(f".{path.name}.lock")):
            yield
            logging.getLogger("emflow").info(RAN_ON + json.dumps(_machine()))
    except InputError as error:
        logging.getLogger("emflow").error(str(error))
        sys.exit(f"error: {error}")
    except Exception as error:
        logging.getLogger("emflow").exception("the stage failed")
        if is_full_disk(error):
            sys.exit(f"error: the disk is full ({error}); make room and start again")
        raise
