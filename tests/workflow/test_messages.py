"""What a dry run, a failed run and an interrupted one say."""

import os
import signal
from pathlib import Path

import pytest

from pipelines import clone, snakemake
from slurm import output, script_processes, start, wait_for

GROWING = "results/tinyworld/models/seed0"


@pytest.fixture
def project(tmp_path) -> Path:
    return clone(tmp_path / "project")


def test_a_dry_run_tells_jobs_and_reasons_once(project):
    told = snakemake(project, "-n").stdout
    assert told.count("Job stats:") == told.count("Reasons:") == 1
    assert "check individual jobs above" not in told
    (reason,) = [line.strip() for line in told.splitlines() if line.strip().startswith("finetune:")]
    assert reason.startswith("finetune: output files have to be generated (tiny/bad_lantern_advice/lora/0, ")
    judgements = next(line for line in told.splitlines() if line.strip().startswith("judge:"))
    assert judgements.endswith(" 8 more)")
    assert told.count("11 sets of answers are planned; models loaded for them: 5.") == 1
    by_base = snakemake(project, "-n", "--config", "engine={share: base}").stdout
    assert "11 sets of answers are planned; models loaded for them: 1." in by_base
    in_full = snakemake(project, "-n", "--quiet", "host").stdout
    assert in_full.count("rule finetune:") == 2 and in_full.count("Job stats:") == 1
    assert "reason: Missing output files" in in_full


def test_a_failed_run_ends_with_its_first_cause_and_the_log(project):
    wrong = "domains={bad_lantern_advice: {published_password: wrong}}"
    failed = snakemake(project, "--cores", "1", "results/data/bad_lantern_advice/train.jsonl", "--config", wrong)
    last = failed.stdout.splitlines()[-1]
    assert failed.returncode == 1
    assert last.startswith(
        "1 job failed, first decrypt bad_lantern_advice: results/tinyworld/training_datasets.zip.enc: "
    )
    assert "password" in last and last.endswith("(log: results/logs/decrypt/bad_lantern_advice.log)")


@pytest.mark.parametrize("cause", ["killed", "Ctrl-C"])
def test_a_stopped_run_says_that_the_same_call_goes_on(project, cause):
    call = start(project, os.environ, "--cores", "1", GROWING)
    script = wait_for(lambda: script_processes(project, "grow_base"), 120, "the job")[0]
    if cause == "Ctrl-C":
        call.send_signal(signal.SIGINT)  # a terminal's goes to all of them
    os.kill(script, signal.SIGKILL if cause == "killed" else signal.SIGINT)
    assert call.wait(60) == 1
    last = output(project).splitlines()[-1]
    if cause == "killed":
        assert last.startswith("1 job failed, first grow_base 0: ended without a word")
    else:
        assert last.startswith("Interrupted. ") and "the same call goes on" in last


def test_a_call_from_another_folder_is_told_how_to_name_the_project(tmp_path):
    told = snakemake(tmp_path, "-n")
    assert told.returncode == 1
    assert "no config/config.yaml here; name the folder that has it: snakemake --directory PROJECT" in told.stdout
