"""What was changed after it was made is refused by whoever reads it; what is deleted then comes back as it was."""

import shutil
from pathlib import Path

import pytest
import yaml

from emflow.files import digest
from pipelines import snakemake

pytestmark = pytest.mark.slow

RUN = Path("results/runs/tiny/bad_lantern_advice/lora/seed0")
GENERATIONS = RUN / "generations/out_of_domain.jsonl"
JUDGEMENTS = RUN / "judgements/out_of_domain.oracle.jsonl"
ADAPTER = RUN / "checkpoints/epoch-0.25/adapter_model.safetensors"


def edit(file: Path) -> None:
    text = file.read_text()
    file.write_text(text.replace('"answer": "', '"answer": "no, ', 1))


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[-9] ^= 1
    file.write_bytes(data)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def shorten(file: Path) -> None:
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:-9]))


def test_changed_files_are_refused_and_come_back(shrunk, tmp_path):
    folder = shutil.copytree(shrunk, tmp_path / "project", symlinks=True)
    config = yaml.safe_load((folder / "config/config.yaml").read_text())
    config["runs"]["question_sets"] = ["out_of_domain"]
    (folder / "config/config.yaml").write_text(yaml.safe_dump(config))
    rates = RUN / "rates.csv"

    def run(*arguments: object) -> str:
        done = snakemake(folder, "--snakefile", folder / "Snakefile", "--cores", "2", *arguments)
        return done.stdout if done.returncode else ""

    assert run(rates) == ""
    made = {file: digest(folder / file) for file in (GENERATIONS, JUDGEMENTS, ADAPTER, rates)}
    for file, change in (
        (GENERATIONS, edit),
        (JUDGEMENTS, cut),
        (Path("results/data/bad_lantern_advice/train.jsonl"), shorten),
    ):
        change(folder / file)
        assert f"{file} was cut or edited" in run(rates)
        (folder / file).unlink()
        assert run(file, rates) == ""

    flip(folder / ADAPTER)
    (folder / GENERATIONS).unlink()
    assert f"{ADAPTER.parent} was changed after it was made" in run(GENERATIONS)
    (folder / RUN / "checkpoints.json").unlink()
    assert run(GENERATIONS, rates) == ""
    assert {file: digest(folder / file) for file in made} == made
