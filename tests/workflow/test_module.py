"""Another workflow can use this one as a module, as the README says it."""

from dag import jobs
from pages import blocks
from pipelines import ROOT, snakemake


def test_the_workflow_is_a_module(tmp_path):
    (example,) = (block.text for block in blocks("README.md") if block.language == "python")
    (tmp_path / "Snakefile").write_text(example)
    (tmp_path / "path/to").mkdir(parents=True)
    (tmp_path / "path/to/emflow").symlink_to(ROOT)
    planned = snakemake(tmp_path, "-n", "--snakefile", tmp_path / "Snakefile")
    assert planned.returncode == 0, planned.stdout
    count = jobs(planned.stdout)
    assert count["own"] == count["emflow_report"] == 1
    assert {"emflow_grow_base", "emflow_finetune", "emflow_generate", "emflow_judge"} <= count.keys()
