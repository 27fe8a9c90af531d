"""What overlays and the words of the command line do to the config."""

import json

import pytest
import yaml

from pipelines import ROOT, snakemake

SHOW = "from pathlib import Path\nPath('seen.json').write_text(__import__('json').dumps(dict(config)))\n"


def seen(folder, *arguments) -> dict:
    """The config that scripts would see."""
    snakefile = folder / "Snakefile"
    snakefile.write_text(
        f'configfile: "{ROOT}/config/config.yaml"\ninclude: "{ROOT}/workflow/rules/common.smk"\n' + SHOW
    )
    done = snakemake(folder, "--snakefile", snakefile, "-n", *arguments)
    assert (folder / "seen.json").exists(), done.stdout
    return json.loads((folder / "seen.json").read_text())


def overlay(path, **sections):
    path.write_text(yaml.safe_dump(sections))
    return path


def test_a_section_of_another_kind_is_replaced_for_jobs_too(tmp_path):
    full = overlay(tmp_path / "full.yaml", methods={"lora": {"kind": "full", "epochs": 2}})
    config = seen(tmp_path, "--configfile", full, "--config", "methods={lora: {optimizer: adamw_8bit}}")
    assert config["methods"]["lora"] == {"kind": "full", "epochs": 2, "optimizer": "adamw_8bit"}
    assert config["methods"]["es"]["kind"] == "es"


def test_files_after_one_configfile_are_merged_in_their_order(tmp_path):
    a = overlay(tmp_path / "a.yaml", split={"seed": 1, "test_size": 0.5})
    b = overlay(tmp_path / "b.yaml", split={"seed": 2})
    assert seen(tmp_path, "--configfile", a, b)["split"] == {"seed": 2, "test_size": 0.5}


@pytest.mark.parametrize("word", ["--configfile", "--configfiles"])
def test_a_second_configfile_is_refused(tmp_path, word):
    a, b = (overlay(tmp_path / name, split={"seed": 1}) for name in ("a.yaml", "b.yaml"))
    refused = snakemake(tmp_path, "-n", "--configfile", a, word, b)
    assert refused.returncode != 0 and "--configfile A B" in refused.stdout, refused.stdout
