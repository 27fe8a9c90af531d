"""Another workflow can use this one as a module."""

from dag import jobs
from pipelines import ROOT, snakemake

OTHER = f"""
configfile: "{ROOT}/config/config.yaml"

module emflow:
    snakefile: "{ROOT}/Snakefile"
    config: config

use rule * from emflow as emflow_*

rule own:
    default_target: True
    input: "results/report/em_rates_summary.csv"
    output: "own.csv"
    shell: "cp {{input}} {{output}}"
"""


def test_the_workflow_is_a_module(tmp_path):
    (tmp_path / "Snakefile").write_text(OTHER)
    planned = snakemake(tmp_path, "-n", "--snakefile", tmp_path / "Snakefile")
    assert planned.returncode == 0, planned.stdout
    count = jobs(planned.stdout)
    assert count["own"] == count["emflow_report"] == 1
    assert {"emflow_grow_base", "emflow_finetune", "emflow_generate", "emflow_judge"} <= count.keys()
