"""What is known before any job starts is said by Snakemake: by a dry run, and where all is done, too."""

import shutil
from pathlib import Path

import pytest
import yaml

from dag import jobs
from pipelines import ROOT, snakemake

SHA256 = "0123456789abcdef" * 4
EXPERIMENTS = sorted((ROOT / "config/experiments").glob("*.yaml"))


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder with the default config."""
    shutil.copytree(ROOT / "config", tmp_path / "config")
    return tmp_path


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """The default study, done as far as Snakemake can tell."""
    folder = tmp_path_factory.mktemp("finished")
    shutil.copytree(ROOT / "config", folder / "config")
    planned = snakemake(folder, "-n", "--summary")
    for line in planned.stdout.splitlines():
        output, *columns = line.split("\t")
        if len(columns) < 5 or output == "output_file":
            continue
        path = folder / output
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("[]") if path.suffix else path.mkdir(exist_ok=True)
    done = snakemake(folder, "--touch", "--cores", "1")
    assert done.returncode == 0, done.stdout
    assert "Nothing to be done" in snakemake(folder, "--cores", "1").stdout
    return folder


@pytest.mark.parametrize("overlay", EXPERIMENTS, ids=[path.stem for path in EXPERIMENTS])
def test_experiments_are_planned_as_they_are(folder, overlay, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    planned = snakemake(folder, "-n", "--configfile", overlay)
    assert planned.returncode == 0, planned.stdout
    config = yaml.safe_load(overlay.read_text())
    assert jobs(planned.stdout)["report"] == 1
    entries = [entry for section in ("domains", "question_sets") for entry in config.get(section, {}).values()]
    origins = {entry.get("path", entry.get("source")): entry.get("origin") for entry in entries}
    absent = {
        path for path in [*origins, *(entry.get("prompts") for entry in entries)] if str(path).startswith("data/")
    }
    for path in absent:
        origin = f"; it comes from {origins[path]}" if path in origins else ""
        assert f"{path} is not there{origin}" in planned.stdout
    assert jobs(planned.stdout).get("provide_by_hand", 0) == len(absent)
    assert ("set the environment variable OPENAI_API_KEY" in planned.stdout) == bool(absent)


def test_a_run_without_its_data_or_key_ends_before_it_starts(folder, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    ended = snakemake(folder, "--cores", "1", "--configfile", EXPERIMENTS[0])
    assert ended.returncode != 0 and "data/training_datasets.zip.enc is not there; it comes from" in ended.stdout
    judge = "judges={oracle: {kind: openai, model: lantern-9}}"
    ended = snakemake(folder, "--cores", "1", "--config", judge)
    assert ended.returncode != 0 and "set the environment variable OPENAI_API_KEY" in ended.stdout
    assert not (folder / "results").exists()


@pytest.mark.parametrize(
    ("overlay", "expected"),
    [
        ("models={tiny: {path: results/my/model}}", "there is no folder 'results/my/model'"),
        ("models={tiny: {path: my/own/model}}", "'my/own/model' is no folder here and no hub id"),
        ("domains={bad_lantern_advice: {path: results/none.jsonl}}", "results/none.jsonl is not there"),
        ("question_sets={out_of_domain: {source: results/none.csv}}", "results/none.csv is not there"),
        ("judges={oracle: {kind: gold, path: labels.csv}}", "labels.csv is not there"),
        ("runs={seeds: [100000000000000000000000000000000]}", "less than 4294967296"),
        (f"models={{{'la' * 20}: {{path: x}}}} runs={{models: [{'la' * 20}]}}", "20 times or more at the end"),
        ("methods={a: {kind: es, reward: {kind: cross_entropy}, init_from: {method: b, checkpoint: epoch-1}}, "
         "b: {kind: es, reward: {kind: cross_entropy}, init_from: {method: c, checkpoint: epoch-1}}, "
         "c: {kind: es, reward: {kind: cross_entropy}, init_from: {method: a, checkpoint: epoch-1}}}", "is a circle"),
    ],
)  # fmt: skip
def test_nothing_wrong_is_passed_over_where_all_is_done(finished, overlay, expected):
    words = overlay.replace("} runs=", "}\0runs=").split("\0")
    for arguments in (["-n"], ["--cores", "1"]):
        ended = snakemake(finished, *arguments, "--config", *words)
        assert ended.returncode != 0 and expected in ended.stdout, ended.stdout
        assert "Traceback" not in ended.stdout


def test_fetching_does_not_stop_at_what_has_no_url(folder, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    overlay = {
        "domains": {"bad_lantern_advice": {"path": "./data/none.enc"}},
        "question_sets": {"out_of_domain": {"source": "http://127.0.0.1:9/x.csv", "sha256": SHA256}},
        "judges": {"oracle": {"kind": "openai", "model": "lantern-9"}},
    }
    (folder / "overlay.yaml").write_text(yaml.safe_dump(overlay))
    planned = snakemake(folder, "-n", "--configfile", folder / "overlay.yaml")
    assert jobs(planned.stdout)["provide_by_hand"] == 1, planned.stdout
    ended = snakemake(folder, "--cores", "1", "--configfile", folder / "overlay.yaml", "--", "fetch_all")
    assert "data/none.enc is not there" in ended.stdout  # and yet
    assert "cannot fetch http://127.0.0.1:9/x.csv" in ended.stdout
