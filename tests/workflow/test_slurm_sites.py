"""Slurms of several shapes: what a site has is listed, what it cannot run is told, and two GPUs reach one process."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from pipelines import clone, clone_shrunk
from slurm import SMALL, Shape, Slurm, ask_by_gres, gpus_seen, on_slurm, output, running, script_processes, wait_for

GRES_ONLY = Shape(cpus=4, minutes=600, select="cons_res", partitions=("main",))
MINUTES = 10  # after which a test is stuck
pytestmark = pytest.mark.slurm
ES_LOG = "results/runs/tiny/bad_lantern_advice/es/seed0/es_log.jsonl"
ARCHIVE = "results/tinyworld/training_datasets.zip.enc"


@pytest.fixture(scope="module", params=[SMALL, GRES_ONLY, Shape()], ids=["small", "gres only", "two GPUs"])
def slurm(request, tmp_path_factory) -> Iterator[Slurm]:
    with running(tmp_path_factory.mktemp("slurm"), request.param) as slurm:
        yield slurm


def emflow(slurm: Slurm, folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [Path(sys.executable).parent / "emflow", *arguments],
        cwd=folder, env=slurm.env, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def ends(slurm: Slurm, folder: Path, *arguments: str) -> str:
    """The last line of a call that fails, with nothing left in the queue."""
    (folder / "snakemake.out").unlink(missing_ok=True)
    with on_slurm(slurm, folder, *arguments) as snakemake:
        assert snakemake.wait(60 * MINUTES) == 1, output(folder)
    wait_for(lambda: not slurm.run("squeue", "-h"), 60 * MINUTES, "an empty queue")
    return output(folder).splitlines()[-1]


def test_emflow_cluster_lists_what_the_site_has(slurm, tmp_path):
    (tmp_path / "profiles/slurm").mkdir(parents=True)
    file = tmp_path / "profiles/slurm/partitions.yaml"
    file.write_text("partitions: {old: {max_nodes: 4}}")
    done = emflow(slurm, tmp_path, "cluster")
    assert done.returncode == 0, done.stderr
    assert f"{file.relative_to(tmp_path)}: no longer old: {{'max_nodes': 4}}" in done.stderr
    limits = {"max_threads": slurm.shape.cpus, "max_mem_mb": slurm.shape.memory_mb}
    if isinstance(slurm.shape.minutes, int):
        limits["max_runtime"] = slurm.shape.minutes
    if slurm.shape.gpus:
        limits["max_gpu"] = slurm.shape.gpus
    assert yaml.safe_load(file.read_text()) == {"partitions": {name: limits for name in slurm.shape.partitions}}
    assert ("gpus_by_gres" in done.stderr) == (slurm.shape is GRES_ONLY)
    assert "no such folder" in emflow(slurm, tmp_path / "profiles", "cluster").stderr


def test_what_no_partition_runs_is_told_before_anything_starts(slurm, tmp_path):
    folder = clone(tmp_path / "project")
    large = ("--config", "models={tiny: {parameters: 0.5}}")
    match slurm.shape:
        case shape if shape is SMALL:
            assert "all" in output_of_plan(slurm, folder)  # the default study fits
            line = "2 CPUs, 7500 MB, 65 min, 1 GPU, but `main` has 4000 MB and 60 min and 0 GPUs at most; ask for less"
            assert "generate_base asks for " + line in ends(slurm, folder, "-n", *large)
            line = "group data asks for 1 CPU, 5000 MB, 24 min, but `main` has 4000 MB at most"
            assert line in ends(slurm, folder, "--set-resources", "split:mem_mb=5000")
        case shape if shape is GRES_ONLY:
            assert "gives GPUs by --gres alone: take `gpus_by_gres` in" in ends(slurm, folder, *large)
        case _:
            line = "evolve asks for 4 CPUs, 36000 MB, 75 min, 4 GPUs, but `cpu` has 2 GPUs at most"
            assert line in ends(slurm, folder, *large, "methods={es: {ranks: 4}}")
            (folder / "profiles/slurm/partitions.yaml").write_text("partitions: {long: {max_runtime: 9000}}")
            assert "this Slurm has no partition long" in ends(slurm, folder)
    assert not slurm.jobs()


@pytest.mark.parametrize("slurm", [SMALL], ids=["small"], indirect=True)
def test_a_job_that_never_starts_ends_the_wait(slurm, tmp_path):
    folder = clone(tmp_path / "project")
    (folder / "profiles/slurm/partitions.yaml").write_text("partitions: {main: {max_runtime: 600}}")
    last = ends(slurm, folder, ARCHIVE, "--set-resources", "publish_tinyworld:runtime=90")
    assert last.startswith("rule_data_publish_tinyworld (Slurm job ")
    assert "never starts: PartitionTimeLimit" in last and "ask for less in the profile" in last
    assert output(folder).count("PartitionTimeLimit") == 1


@pytest.mark.parametrize("slurm", [GRES_ONLY, Shape()], ids=["gres only", "two GPUs"], indirect=True)
def test_one_process_sees_the_two_gpus_of_its_job(slurm, grown, tmp_path):
    """ES with two ranks runs to its end; of an engine that spreads over two GPUs, what it is given is looked at."""
    folder = clone_shrunk(grown, tmp_path / "project")
    config = yaml.safe_load((folder / "config/config.yaml").read_text())
    config["runs"]["methods"] = ["es"]
    config["methods"]["es"] |= {"ranks": 2, "population": 4, "iterations": 2, "checkpoints": [2]}
    if slurm.shape is GRES_ONLY:
        ask_by_gres(folder)
        config["engine"] = {"kind": "vllm", "tensor_parallel_size": 2}
        rule, cpus, target = "generate_base", 1, "results/base/tiny/generations/out_of_domain.jsonl"
    else:
        rule, cpus, target = "evolve", 2, ES_LOG
    (folder / "config/config.yaml").write_text(yaml.safe_dump(config))
    with on_slurm(slurm, folder, target) as snakemake:
        first = wait_for(lambda: script_processes(folder, rule), 60 * MINUTES, rule)[0]
        assert gpus_seen(first) == "0,1"
        assert next(line for line in slurm.jobs("%T %C %k") if f"rule_{rule}" in line).startswith(f"RUNNING {cpus} ")
        processes = before = {first}
        while snakemake.poll() is None and rule == "evolve":
            time.sleep(0.5)
            now = set(script_processes(folder, rule))
            processes = processes | (now & before)  # twice: a fork looks like its parent until it runs its own program
            before = now
        snakemake.send_signal(signal.SIGINT)
        snakemake.wait(60 * MINUTES)
    assert processes == {first}
    assert (folder / ES_LOG).exists() == (rule == "evolve"), output(folder)


def output_of_plan(slurm: Slurm, folder: Path) -> str:
    with on_slurm(slurm, folder, "-n") as snakemake:
        assert snakemake.wait(60 * MINUTES) == 0, output(folder)
    return output(folder)
