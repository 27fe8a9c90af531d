"""What one busy core costs growing the tiny world's base, with the workflow's settings of native libraries and without.

    python bench/busy.py                # about four minutes; the machine must be idle otherwise

The first steps of growing a base, a fresh process per turn. The baseline is OpenMP as it comes, on idle cores.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from emflow.native import NATIVE

SIDES: dict[str, dict[str, str | None]] = {"as OpenMP comes": {"GOMP_SPINCOUNT": None}, "as the workflow sets it": {}}


@contextmanager
def busy_core() -> Iterator[None]:
    """Something else that takes one core."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def seconds(changes: dict[str, str | None], steps: int) -> float:
    """Seconds that a fresh process takes to grow `steps` steps; what it takes to start and import is left out."""
    environment = {key: value for key, value in (os.environ | NATIVE | changes).items() if value is not None}
    command = [sys.executable, __file__, "--steps", str(steps), "--grow"]
    return float(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)


def grow_steps(steps: int) -> float:
    from emflow.tinyworld.base_model import BaseRecipe, grow

    with tempfile.TemporaryDirectory() as folder:
        start = time.monotonic()
        grow(Path(folder) / "model", 0, replace(BaseRecipe(), pretrain_steps=steps, chat_steps=5))
        return time.monotonic() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--grow", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.grow:
        print(grow_steps(given.steps))
        return
    idle: dict[str, list[float]] = {side: [] for side in SIDES}
    busy: dict[str, list[float]] = {side: [] for side in SIDES}
    for _ in range(given.repeats):  # in turns: a machine that slows down slows all sides
        for side, changes in SIDES.items():
            idle[side].append(seconds(changes, given.steps))
            with busy_core():
                busy[side].append(seconds(changes, given.steps))
    baseline = idle["as OpenMP comes"]
    for side in SIDES:
        for state, times in (("idle", idle[side]), ("one core busy", busy[side])):
            ratio = statistics.median(own / other for own, other in zip(times, baseline, strict=True))
            print(f"{side}, {state}: {statistics.median(times):.1f} s, {ratio:.2f}x of the baseline")


if __name__ == "__main__":
    main()
