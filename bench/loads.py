"""What one load for all question sets of a run saves, against a load for each set.

    python bench/loads.py                       # plans a study of 270 runs and 4 sets, in half a minute
    python bench/loads.py --project FOLDER      # answers for real, too, with what `make demo` has made there; minutes

For real: the demo's four runs and its base answer four question sets, four words an answer, so that most of the time
goes to starting and loading. Both sides are to give the same answers.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

import dag
from emflow.files import digest
from sides import begin

SETS = ("first", "second", "third", "fourth")
SIDES = {"one load for all sets": [], "a load for each": ["--no-hooks"]}  # the hook before the first job shares loads
TURNS = ("one load for all sets", "a load for each", "a load for each", "one load for all sets")
KEPT = ("config", "results", ".snakemake/metadata")


def copied(project: Path, folder: Path) -> Path:
    """A finished demo, and an overlay that asks it other questions."""
    for name in KEPT:
        shutil.copytree(project / name, folder / name)
    short = {"source": "results/tinyworld/out_of_domain.jsonl", "samples": 1, "max_new_tokens": 4}
    sets = {"question_sets": {name: short for name in SETS}, "runs": {"question_sets": list(SETS)}}
    (folder / "sets.yaml").write_text(yaml.safe_dump(sets))
    return folder


def answer(folder: Path, options: list[str]) -> tuple[float, int, list[str]]:
    """Answer anew: the seconds, the loads that it took, and a digest of each file of answers."""
    for old in (*folder.glob("results/**/generations"), folder / "results/logs"):
        shutil.rmtree(old)
    (folder / "results/loads.json").unlink(missing_ok=True)
    files = [folder / "config/config.yaml", folder / "sets.yaml"]
    command = [sys.executable, "-m", "snakemake", "--snakefile", dag.ROOT / "Snakefile", "--cores", "2", *options]
    started = time.perf_counter()
    done = subprocess.run(
        [*map(str, [*command, "--until", "generate", "generate_base", "--configfile", *files])],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(done.stdout[-3000:])
    seconds = time.perf_counter() - started
    loads = sum("tokens/s" in log.read_text() for log in folder.glob("results/logs/generate*/**/*.log"))
    return seconds, loads, [digest(file) for file in sorted(folder.glob("results/**/generations/**/*.jsonl"))]


def compare(project: Path, repeats: int) -> None:
    ratios: list[float] = []
    seen: dict[str, tuple[int, list[str]]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = copied(project, Path(temporary))
        for repeat in range(repeats):
            seconds = dict.fromkeys(SIDES, 0.0)
            for side in TURNS:
                took, loads, answers = answer(folder, SIDES[side])
                seen[side] = loads, answers
                seconds[side] += took / TURNS.count(side)
            ratios.append(seconds["a load for each"] / seconds["one load for all sets"])
            print(f"  repeat {repeat}: " + ", ".join(f"{side} {took:.0f} s" for side, took in seconds.items()))
    (loads, answers), (more, others) = seen["one load for all sets"], seen["a load for each"]
    same = "the same" if answers == others else "DIFFERENT"
    gain = f"{statistics.median(ratios):.2f}x as fast as {more} loads"
    print(f"{loads} loads for {len(answers)} sets of answers, {gain}; the answers are {same}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", type=Path, help="a folder with a finished `make demo`")
    parser.add_argument("--repeats", type=int, default=1)
    given = parser.parse_args()
    begin()
    planned = dag.plan(dag.study())
    sets = planned.jobs["generate"] + planned.jobs["generate_base"]
    print(f"a study of 270 runs and 4 question sets: {planned.loads} loads for {sets} sets of answers")
    if given.project:
        compare(given.project, given.repeats)


if __name__ == "__main__":
    main()
