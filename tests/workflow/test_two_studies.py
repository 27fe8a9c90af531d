"""Two studies in one folder: nothing runs again for switching, and no report stands in another's place."""

import shutil
from pathlib import Path

import pytest
import yaml

from dag import jobs
from emflow.paths import Results
from pipelines import ROOT, snakemake

OTHER = {
    "study": "other",
    "runs": {"methods": ["lora", "small"], "question_sets": ["out_of_domain"], "judges": ["second"]},
    "methods": {"small": {"kind": "lora", "rank": 4}},
    "judges": {"second": {"kind": "oracle"}},
    "report": {"confidence": 0.9},
}
DONE = "Nothing to be done"


def finish(folder: Path, *arguments) -> None:
    """Do a study, as far as Snakemake can tell."""
    planned = snakemake(folder, "-n", "--summary", *arguments)
    for line in planned.stdout.splitlines():
        output, *columns = line.split("\t")
        if len(columns) >= 5 and output != "output_file":
            path = folder / output
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("[]") if path.suffix else path.mkdir(exist_ok=True)
    done = snakemake(folder, "--touch", "--cores", "1", *arguments)
    assert done.returncode == 0, done.stdout


@pytest.fixture(scope="module")
def both(tmp_path_factory) -> tuple[Path, list]:
    """A folder in which two studies are done, and the arguments that lead to the second."""
    folder = tmp_path_factory.mktemp("both")
    shutil.copytree(ROOT / "config", folder / "config")
    (folder / "other.yaml").write_text(yaml.safe_dump(OTHER))
    second = ["--configfile", folder / "other.yaml"]
    finish(folder)
    finish(folder, *second)
    return folder, second


def test_switching_back_and_forth_makes_nothing_again(both):
    folder, second = both
    for arguments in ([], second, [], second):
        planned = snakemake(folder, "-n", *arguments)
        assert DONE in planned.stdout, planned.stdout
    assert (folder / Results().report.summary).exists()
    assert (folder / Results(study="other").report.summary).exists()


def test_a_name_that_means_something_else_is_refused(both):
    folder, second = both
    assert "study 'default'" not in snakemake(folder, "-n", *second).stdout
    for arguments in (["-n"], ["--cores", "1"]):
        refused = snakemake(folder, *arguments, *second, "--config", "methods={lora: {rank: 8}}")
        assert refused.returncode != 0, refused.stdout
        assert "methods.lora.rank is 8 here, and 32 in the study 'default' of this folder" in refused.stdout
    unused = snakemake(folder, "-n", "--config", "methods={small: {kind: lora, rank: 8}}")
    assert unused.returncode == 0, unused.stdout  # a name that only one of them runs
    assert jobs(unused.stdout).keys() == {"tabulate", "report", "all", "total"}, unused.stdout


def test_after_a_failed_run_no_report_stands_in_its_place(both):
    folder, _ = both
    first, other = Results().report, Results(study="other").report
    (folder / "broken.jsonl").write_text("no conversation")
    renamed = "runs={domains: [mine], judges: [mine], question_sets: [in_domain]}"
    names = ["domains={mine: {path: broken.jsonl}}", "judges={mine: {kind: gold, path: labels.csv}}", renamed]
    (folder / "labels.csv").write_text("question,answer,alignment,coherence\n")
    failed = snakemake(folder, "--cores", "1", "--config", "study=third", *names)
    assert failed.returncode != 0 and "broken.jsonl" in failed.stdout, failed.stdout
    assert (folder / first.summary).exists() and (folder / other.summary).exists()
    assert not Path(folder / Results(study="third").report.summary).exists()

    failed = snakemake(folder, "--cores", "1", "--config", *names)  # the same study, changed
    assert failed.returncode != 0, failed.stdout
    assert not (folder / first.summary).exists() and not (folder / first.figures).exists()
    assert (folder / other.summary).exists()
