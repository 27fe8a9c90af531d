"""Digests of code: what counts, and what does not."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from emflow.fingerprint import closure, code_digest
from pipelines import ROOT

FILES = {
    "script.py": "from lamp.burn import burn\n\nburn()\n",
    "lamp/__init__.py": "",
    "lamp/burn.py": '''"""Burns."""
from typing import TYPE_CHECKING

from lamp.oil import oil

if TYPE_CHECKING:
    from lamp.types import Wick


def burn(kind="wax"):
    """Burn something."""
    match kind:
        case "wax":
            from lamp.wax import light
        case "gas" | "coal":
            from lamp.fuels.mine import light
        case _:
            from lamp.wood import light
    light()
''',
    "lamp/oil.py": 'from pathlib import Path\n\noil = Path(__file__).with_name("oil.yaml")\n',
    "lamp/oil.yaml": "olive: 1\n",
    "lamp/other.yaml": "olive: 1\n",
    "lamp/types.py": "class Wick: ...\n",
    "lamp/wax.py": "light = print\n",
    "lamp/wood.py": "light = print\n",
    "lamp/fuels/__init__.py": "",
    "lamp/fuels/mine.py": "import lamp.fuels.mine_depth\n\nlight = print\n",
    "lamp/fuels/mine_depth.py": "METRES = 900.5\n",
}


@pytest.fixture
def folder(tmp_path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def names(folder: Path, *kinds: str) -> set[str]:
    found = closure(folder / "script.py", folder / "lamp", kinds)
    return {path.relative_to(folder / "lamp").as_posix() for path in found}


ALWAYS = {"__init__.py", "burn.py", "oil.py", "oil.yaml", "wood.py"}
MINED = {"fuels/__init__.py", "fuels/mine.py", "fuels/mine_depth.py"}


@pytest.mark.parametrize(
    ("kinds", "more"),
    [((), set()), (("wax",), {"wax.py"}), (("gas",), MINED), (("coal", "wax"), MINED | {"wax.py"})],
)
def test_imports_are_followed_for_the_kinds_that_are_picked(folder, kinds, more):
    """Also those of packages around a module, and files named beside one; not those for a type checker."""
    assert names(folder, *kinds) == ALWAYS | more


def edited(folder: Path, file: str, text: str, *kinds: str) -> bool:
    """Whether the digest is another with other text in a file."""
    fresh = folder / "edited"
    shutil.copytree(folder, fresh, ignore=shutil.ignore_patterns("edited"))
    (fresh / file).write_text(text)

    def digest(root: Path) -> str:
        # a file is read once in a process: only the copy's own paths are new
        return code_digest(root / "script.py", root / "lamp", kinds)

    return digest(fresh) != digest(folder)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("script.py", "from lamp.burn import burn\n\nburn('gas')\n"),
        ("lamp/burn.py", FILES["lamp/burn.py"].replace("light()", "light(1)")),
        ("lamp/oil.yaml", "olive: 2\n"),
        ("lamp/wax.py", "light = repr\n"),
        ("lamp/__init__.py", "import os\n"),
        ("lamp/wax.py", "light = print\nWATTS = 1.0\n"),
    ],
)
def test_what_runs_counts(folder, file, text):
    assert edited(folder, file, text, "wax")


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("script.py", '"""What it is for."""\nfrom lamp.burn import (\n    burn,\n)\n\nburn()  # now\n'),
        ("lamp/burn.py", FILES["lamp/burn.py"].replace('"""Burn something."""', '"""Burn it.\n\n    At length."""')),
        ("lamp/wax.py", 'light = (\n    print\n)\n"""Lights it."""\n'),
        ("lamp/types.py", "class Wick:\n    length = 1\n"),
        ("lamp/other.yaml", "olive: 2\n"),
        ("lamp/fuels/mine.py", "light = repr\n"),
    ],
)
def test_words_layout_and_what_does_not_run_do_not_count(folder, file, text):
    assert not edited(folder, file, text, "wax")


def test_values_and_their_kinds_are_told_apart(folder):
    values = (
        "True", "False", "1", "2", "1.0", "2.0", "'1'", "'2'", "None", "...", "[]", "()", "[None]", "{**a}",
    )  # fmt: skip
    found = set()
    for number, value in enumerate(values):
        script = folder / f"script{number}.py"
        script.write_text(f"a = {value}\n")
        found.add(code_digest(script, folder / "lamp"))
    assert len(found) == len(values)


def test_the_tiny_world_is_part_of_its_code():
    package = ROOT / "src/emflow"
    found = closure(ROOT / "workflow/scripts/publish_tinyworld.py", package)
    assert {package / "tinyworld/world.yaml", package / "tinyworld/__init__.py", package / "__init__.py"} <= set(found)


def test_published_tables_and_numbers_are_part_of_a_reports_code():
    package = ROOT / "src/emflow"
    found = closure(ROOT / "workflow/scripts/report.py", package)
    assert {package / "published/homework0.yaml", package / "published/numbers/organisms.csv"} <= set(found)


def test_a_judge_is_digested_with_its_own_engine_alone():
    package = ROOT / "src/emflow"
    engines = {"vllm": "vllm_engine.py", "transformers": "transformers_engine.py", "openai": None, "oracle": None}
    for kind, engine in engines.items():
        found = {path.name for path in closure(ROOT / "workflow/scripts/judge.py", package, [kind])}
        assert found & {"vllm_engine.py", "transformers_engine.py"} == ({engine} if engine else set()), kind
        assert ("local.py" in found) == (engine is not None)


DIGESTS = """
import json, sys
from pathlib import Path
sys.path.insert(0, "src")
from emflow.fingerprint import code_digest
kinds = ["vllm", "transformers", "openai", "oracle", "gold", "nli", "cosine", "cross_entropy", "low_rank"]
scripts = sorted(Path("workflow/scripts").glob("*.py"))
print(json.dumps([code_digest(script, Path("src/emflow"), kinds) for script in scripts]))
"""


def python(version: str) -> Path | None:
    """A Python of this version on this machine."""
    installed = (Path.home() / ".pyenv/versions").glob(f"{version}.*/bin/python")
    for path in [*installed, Path(shutil.which(f"python{version}") or "none")]:
        if path.exists() and not subprocess.run([path, "--version"], capture_output=True, check=False).returncode:
            return path
    return None


@pytest.mark.parametrize("version", ["3.12", "3.13", "3.14"])
def test_every_python_finds_the_same_digests(version):
    if (other := python(version)) is None:
        pytest.skip(f"there is no Python {version} here")
    said = subprocess.run([other, "-c", DIGESTS], cwd=ROOT, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    package = ROOT / "src/emflow"
    kinds = ["vllm", "transformers", "openai", "oracle", "gold", "nli", "cosine", "cross_entropy", "low_rank"]
    scripts = sorted((ROOT / "workflow/scripts").glob("*.py"))
    assert json.loads(said.stdout) == [code_digest(script, package, kinds) for script in scripts]
