"""The house is in order: linters, formatters, types, locks."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent


@pytest.mark.parametrize(
    "command",
    [
        ("ruff", "check", "."),
        ("ruff", "format", "--check", "."),
        ("snakefmt", "--check", "Snakefile", "workflow"),
        ("mypy",),
        ("snakemake", "--lint"),
    ],
    ids=" ".join,
)
@pytest.mark.slow  # `make check` runs them itself
def test_linters_are_content(command):
    done = subprocess.run([BIN / command[0], *command[1:]], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def pins(name: str) -> dict[str, str]:
    return dict(line.split("==") for line in (ROOT / f"envs/{name}.lock").read_text().split())


@pytest.mark.parametrize("name", ["cpu", "test"])
def test_what_is_installed_is_what_the_lock_says(name):
    from importlib.metadata import version

    assert {package: version(package) for package in pins(name)} == pins(name)


def test_locks_agree_where_they_overlap():
    for name in ("cpu", "gpu"):
        shared = pins(name).keys() & pins("test").keys()
        differ = {p: (pins(name)[p], pins("test")[p]) for p in shared if pins(name)[p] != pins("test")[p]}
        differ.pop("torch", None)  # the CPU build has a local version
        of_vllm = {"triton", "apache-tvm-ffi", "setuptools"}  # which its two builds want in other versions
        assert differ.keys() <= (of_vllm if name == "gpu" else set()), differ


@pytest.mark.parametrize("name", ["cpu", "gpu"])
def test_conda_environments_are_generated_from_the_locks(name):
    sys.path.insert(0, str(ROOT / "envs"))
    from conda import conda_environment

    assert (ROOT / f"envs/{name}.yaml").read_text() == conda_environment(name), "run make lock"


def test_the_package_knows_nothing_of_snakemake():
    for path in (ROOT / "src").rglob("*.py"):
        assert not re.search(r"^\s*(import|from) snakemake", path.read_text(), flags=re.MULTILINE), path


def test_hooks_and_ci_call_what_is_there():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    for command in (hook["entry"].split()[0] for hook in hooks):
        assert (BIN / Path(command).name).exists() and Path(command).parent == Path(".venv/bin")
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"].values()
    steps = [step["run"] for job in jobs for step in job["steps"] if "run" in step]
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    for step in steps:
        called = re.findall(r"make (\w+)", step)
        assert "apt-get install" in step or (called and set(called) <= set(targets)), step


def test_issue_forms_are_complete():
    for form in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"):
        given = yaml.safe_load(form.read_text())
        assert given["name"] and given["description"] and all(part["attributes"]["label"] for part in given["body"])
