"""What jobs ask of a cluster under the shipped profile."""

import re

from pipelines import clone, snakemake

LARGE = ("--config", "models={tiny: {parameters: 7}}", "methods={es: {ranks: 8}}")


def test_jobs_on_slurm_ask_for_what_their_model_needs(tmp_path):
    folder = clone(tmp_path / "project")
    planned = snakemake(folder, "-n", "--cores", "64", "--profile", "slurm", "--quiet", "host", *LARGE)
    assert planned.returncode == 0, planned.stdout
    asked = {
        rule: (int(threads), int(memory), int(gpus))
        for rule, threads, memory, gpus in re.findall(
            r"^rule (finetune|evolve|generate):.*?threads: (\d+)\n.*?mem_mb=(\d+).*? gpu=(\d+)",
            planned.stdout,
            re.M | re.S,
        )
    }
    assert asked == {"finetune": (2, 27_000, 1), "evolve": (8, 8 * 48_000, 8), "generate": (2, 27_000, 1)}
