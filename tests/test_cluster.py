"""Partitions: what fits them, and the file that lists them."""

import subprocess

import pytest

from emflow import cluster
from emflow.cluster import Partition, Request, fitting, read_partitions, write_partitions
from emflow.files import InputError

CPU = Partition("cpu", max_threads=2, max_mem_mb=4000, max_runtime=60)
GPU = Partition("gpu", max_threads=16, max_mem_mb=200_000, max_gpu=2)


def test_a_request_goes_where_all_of_it_fits():
    assert fitting("split", Request(1, 1500, 60), [CPU, GPU]) == ["cpu", "gpu"]
    assert fitting("finetune", Request(2, 7500, 65, gpu=1), [CPU, GPU]) == ["gpu"]
    assert fitting("finetune", Request(2, 7500, 65, gpu=1), []) == []
    assert fitting("finetune", Request(partition="elsewhere", gpu=8), [CPU, GPU]) == []


@pytest.mark.parametrize(
    ("request_", "refusal"),
    [
        (Request(32, 9000, 90, gpu=4), "`cpu` has 2 CPUs and 4000 MB and 60 min and 0 GPUs at most, "
                                       "`gpu` has 16 CPUs and 2 GPUs at most"),
        (Request(1, 10, 90, partition="cpu"), "`cpu` has 60 min at most"),
    ],
)  # fmt: skip
def test_a_request_that_all_refuse_is_told_with_reason_and_mend(request_, refusal):
    with pytest.raises(InputError) as error:
        fitting("evolve", request_, [CPU, GPU])
    assert str(error.value).startswith(f"evolve asks for {request_}, but {refusal}; ask for less in")


def test_the_list_of_partitions_is_written_and_read(tmp_path):
    file = tmp_path / "partitions.yaml"
    assert write_partitions(file, [CPU, GPU]) == []
    assert read_partitions(file) == [CPU, GPU]
    assert write_partitions(file, [CPU]) == ["gpu: {'max_threads': 16, 'max_mem_mb': 200000, 'max_gpu': 2}"]
    file.write_text("partitions: {old: {max_runtime: '1-02:30:00', max_nodes: 4}, any: }")
    assert read_partitions(file) == [Partition("old", max_runtime=1590), Partition("any")]
    for text, minutes in (("2d", 2880), ("12h", 720), ("90", 90), ("4:30", 270)):
        file.write_text(f"partitions: {{a: {{max_runtime: '{text}'}}}}")
        assert read_partitions(file) == [Partition("a", max_runtime=minutes)]
    file.write_text("partitions: {a: {max_runtime: UNLIMITED}}")
    with pytest.raises(InputError, match=r"partitions.yaml: 'UNLIMITED' is no time: write minutes, or as in 2-"):
        read_partitions(file)


@pytest.mark.parametrize(
    "text", ["", "[]", "partitions: 5", "partitions: {cpu: 5}", "partitions: {a: {max_gpu: x}}", "{"]
)
def test_a_list_that_cannot_be_read_names_the_mend(tmp_path, text):
    file = tmp_path / "partitions.yaml"
    file.write_text(text)
    with pytest.raises(InputError, match=r"partitions.yaml: .*write it anew by `emflow cluster`"):
        read_partitions(file)
    write_partitions(file, [CPU])
    assert read_partitions(file) == [CPU]


def test_a_slurm_that_does_not_answer_may_do_so_the_next_time(monkeypatch):
    def hangs(command, timeout, **how):
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(cluster.subprocess, "run", hangs)
    monkeypatch.setattr(cluster.shutil, "which", lambda name: name)
    assert cluster.never_starts("a run") == []
    with pytest.raises(InputError, match="no answer within 60 s; try again"):
        cluster.site()
