"""On a real one-node Slurm: `snakemake --profile slurm` ends in the local result, whatever is killed on the way."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from emflow.files import digest
from pipelines import TRAINING, clone_shrunk, loads
from slurm import SMALL, Slurm, ask_by_gres, on_slurm, output, running, script_processes, start, wait_for

pytestmark = pytest.mark.slurm

RUNS = "results/runs/tiny/bad_lantern_advice/lora"
ANSWERS = f"{RUNS}/seed0/generations/out_of_domain.jsonl"
PARTITIONS = "partitions: {cpu: {max_runtime: 1440}, gpu: {max_runtime: 1440, max_gpu: 2}}"
MINUTES = 15  # after which a test is stuck


@pytest.fixture(scope="module")
def slurm(tmp_path_factory) -> Iterator[Slurm]:
    with running(tmp_path_factory.mktemp("slurm")) as slurm:
        yield slurm


@pytest.fixture(scope="module")
def local(shrunk) -> Path:
    """The same without Slurm: what must come out."""
    (shrunk / "profiles/slurm/partitions.yaml").write_text(PARTITIONS)
    return shrunk


def quick(*more: str) -> tuple[str, ...]:
    return ("--slurm-init-seconds-before-status-checks", "4", *more)


def seed1_weights(folder: Path) -> list[str]:
    checkpoints = json.loads((folder / TRAINING).read_text())
    found = [digest(folder / RUNS / "seed1" / checkpoint["path"]) for checkpoint in checkpoints]
    assert found == [checkpoint["sha256"] for checkpoint in checkpoints]
    return found


def assert_same_ends(folder: Path, local: Path) -> None:
    """Training and generation, however often they were killed, have made what they make undisturbed."""
    assert seed1_weights(folder) == seed1_weights(local)
    assert (folder / ANSWERS).read_text() == (local / ANSWERS).read_text()
    assert not (folder / RUNS / "seed1/train.progress").exists()
    assert not list((folder / RUNS).rglob(".*.progress"))
    for log in (
        f"results/logs/finetune/{RUNS[13:]}/seed1.log",
        f"results/logs/generate/{RUNS[13:]}/seed0/out_of_domain.log",
    ):
        assert "continues after" in (folder / log).read_text()


def half_done(local: Path, folder: Path) -> Path:
    """The local result without a training and a generation."""
    shutil.copytree(local, folder, symlinks=True)
    shutil.rmtree(folder / RUNS / "seed1")
    (folder / ANSWERS).unlink()
    return folder


def has_trained(folder: Path) -> bool:
    return any((folder / RUNS / "seed1").glob("train.progress/*/trainer/*/.sha256"))


def has_answered(folder: Path) -> bool:
    kept = (folder / ANSWERS).with_name(".out_of_domain.jsonl.progress")
    return kept.exists() and len(kept.read_text().splitlines()) > 1


def both_have_progress(folder: Path) -> bool:
    return has_trained(folder) and has_answered(folder)


def hold_both(folder: Path, snakemake: subprocess.Popen) -> None:
    """Stop training and generation as soon as each has made progress, so that they get no further."""
    to_hold = {"finetune": has_trained, "generate": has_answered}

    def all_held() -> bool:
        assert snakemake.poll() is None, output(folder)
        for script, progressed in list(to_hold.items()):
            if progressed(folder) and (processes := script_processes(folder, script)):
                os.kill(processes[0], signal.SIGSTOP)
                del to_hold[script]
        return not to_hold

    wait_for(all_held, 60 * MINUTES, "progress of training and generation")


def test_on_two_cores_and_an_hour_the_default_workflow_gives_the_local_result(grown, local, tmp_path):
    """A site that nobody has described: all goes to its default partition."""
    folder = clone_shrunk(grown, tmp_path / "project")
    config = (folder / "config/config.yaml").read_text()
    (folder / "config/config.yaml").write_text(config.replace("parameters: 0.5", "parameters: 0.0005"))
    (tmp_path / "slurm").mkdir()
    with running(tmp_path / "slurm", SMALL) as slurm, on_slurm(slurm, folder, *quick()) as snakemake:
        assert snakemake.wait(60 * MINUTES) == 0, output(folder)
        jobs = [job.split() for job in slurm.jobs("%T %C")]
        asked = sorted(job.split()[:2] for job in slurm.jobs("%m %l %k") if "rule_generate" in job)
    assert {state for state, _ in jobs} == {"COMPLETED"}, jobs
    assert sorted(int(cores) for _, cores in jobs) == [1] * (len(jobs) - 1) + [2], jobs  # the report is drawn by two
    assert loads(folder) == 2  # of the run, and of its base
    assert asked == [["1500M", "3:00"]] * 2 + [["1802M", "20:00"]] * 2  # who finds answers given asks for little
    for path in sorted((local / "results").rglob("*.jsonl")):
        if "seed1" not in path.parts:
            assert (folder / path.relative_to(local)).read_text() == path.read_text(), path
    rates = "results/report/em_rates_summary.csv"
    assert (folder / rates).read_text() == (local / rates).read_text()
    assert (folder / "results/report/summary.md").exists()


def test_jobs_over_their_limits_get_more_and_continue(slurm, local, tmp_path):
    """Training is over its time; generation over its memory, which this Slurm looks at once a minute."""
    folder = half_done(local, tmp_path / "project")
    limits = ("--set-resources", "finetune:runtime=attempt", "generate:mem_mb=300+4000*(attempt-1)")
    before = len(slurm.jobs())
    with on_slurm(slurm, folder, TRAINING, ANSWERS, *quick(*limits)) as snakemake:
        hold_both(folder, snakemake)
        assert snakemake.wait(60 * MINUTES) == 0, output(folder)
    assert_same_ends(folder, local)
    ends = [line.split()[1:] for line in slurm.jobs("%i %T %l") if int(line.split()[0]) > before]
    assert sorted(state for state, _ in ends) == ["COMPLETED", "COMPLETED", "FAILED", "TIMEOUT"], ends
    assert ["TIMEOUT", "1:00"] in ends
    logs = [log.read_text() for log in (folder / ".snakemake/slurm_logs/rule_generate").rglob("*.log")]
    assert sum("exceeded memory limit" in log for log in logs) == 1


def test_preempted_jobs_and_those_of_a_dead_node_are_requeued_and_continue(slurm, local, tmp_path):
    folder = half_done(local, tmp_path / "project")
    before = len(slurm.jobs())
    with on_slurm(slurm, folder, TRAINING, ANSWERS, *quick()) as snakemake:
        hold_both(folder, snakemake)
        slurm.preempt()
        hold_both(folder, snakemake)
        slurm.lose_node()
        assert snakemake.wait(60 * MINUTES) == 0, output(folder)
    assert_same_ends(folder, local)
    ends = [line.split()[1] for line in slurm.jobs("%i %T") if int(line.split()[0]) > before]
    assert ends == ["COMPLETED"] * 3  # both under their old ids, and the one that preempted them


def test_the_next_run_continues_after_scancel_and_after_ctrl_c(slurm, local, tmp_path):
    folder = half_done(local, tmp_path / "project")
    with on_slurm(slurm, folder, TRAINING, ANSWERS, *quick("--retries", "0")) as snakemake:
        hold_both(folder, snakemake)
        slurm.run("scancel", "--user=root")
        assert snakemake.wait(60 * MINUTES) != 0
    assert not (folder / TRAINING).exists() and both_have_progress(folder)
    ask_by_gres(folder)
    with on_slurm(slurm, folder, TRAINING, ANSWERS, *quick()) as snakemake:
        hold_both(folder, snakemake)
        asked = slurm.run("squeue", "-h", "-o", "%b %P").splitlines()
        snakemake.send_signal(signal.SIGINT)
        assert snakemake.wait(60 * MINUTES) != 0
    assert asked == ["gres:gpu:1 gpu", "gres:gpu:1 gpu"]
    assert {"PENDING", "RUNNING"}.isdisjoint(slurm.jobs("%T"))
    assert not (folder / TRAINING).exists() and both_have_progress(folder)
    assert start(folder, os.environ, "--cores", "2", TRAINING, ANSWERS).wait(60 * MINUTES) == 0, output(folder)
    assert_same_ends(folder, local)
