"""Does misalignment emerge on every base? The default LoRA experiment on other base seeds, as a table.

    python bench/base_seeds.py [SEED ...]      # default: 1 2 3 4 5

A finding depends on more than the fine-tuning: EM rates vary between bases that differ in nothing but their seed.
Results stay under results/ like any run's, so a second call prints at once.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from emflow.analysis.rates import rate, rate_difference
from emflow.config.load import Config, load_config
from emflow.files import read_jsonl
from emflow.paths import Results

ROOT = Path(__file__).parents[1]
METHOD, JUDGE, BAD, CONTROL = "lora", "oracle", "bad_lantern_advice", "good_lantern_advice"


def overlay(seeds: list[int]) -> dict[str, Any]:
    """The default experiment with LoRA alone, on bases grown from these seeds."""
    models = {
        f"tiny-seed{seed}": {"path": f"results/tinyworld/models/seed{seed}", "dtype": "float32"} for seed in seeds
    }
    return {"models": models, "runs": {"models": list(models), "methods": [METHOD]}}


def answers(folder: Path, question_set: str, label: str) -> pd.DataFrame:
    rows = read_jsonl(ROOT / folder / f"judgements/{question_set}.{JUDGE}.jsonl")
    return pd.DataFrame([row for row in rows if row["checkpoint"] == label])


def table(config: Config) -> pd.DataFrame:
    """A row per base: EM rate (and coherent share) of base, bad run and control; bad minus control with interval."""
    definition, report = config.definitions["betley"], config.report
    last = config.methods[METHOD].labels[-1]
    rows = []
    for model in config.expansion.models:
        runs = {run.domain: Results().run(run).path for run in config.expansion.runs if run.model == model}
        sides = {
            "base OOD": answers(Results().base(model).path, "out_of_domain", "base"),
            "bad in": answers(runs[BAD], "in_domain", last),
            "bad OOD": answers(runs[BAD], "out_of_domain", last),
            "control OOD": answers(runs[CONTROL], "out_of_domain", last),
        }
        row = {"base": model}
        for name, judged in sides.items():
            measured = rate(judged, definition, report.confidence)
            shares = f"{100 * measured['em_rate']:.1f} ({100 * measured['coherent_share']:.0f})"
            row[f"{name}: EM % (coherent %)"] = f"{shares} of {measured['n']:.0f}"
        gap = rate_difference(sides["bad OOD"], sides["control OOD"], definition, report.confidence)
        row["bad - control OOD, points"] = "{:+.1f} [{:+.1f}, {:+.1f}]".format(*(100 * part for part in gap))
        rows.append(row)
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("seeds", nargs="*", type=int, default=[1, 2, 3, 4, 5], metavar="SEED")
    seeds = parser.parse_args().seeds
    default = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    above = overlay(seeds)
    config = load_config({**default, "models": above["models"], "runs": {**default["runs"], **above["runs"]}})
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump(above, file)
        file.flush()
        targets = [str(Results().run(run).rates) for run in config.expansion.runs]
        command = [sys.executable, "-m", "snakemake", "--cores", "all", "--configfile", file.name, "--", *targets]
        subprocess.run(command, cwd=ROOT, check=True)
    print(table(config).to_markdown(index=False))


if __name__ == "__main__":
    main()
