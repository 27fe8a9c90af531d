"""A job starts without what it does not use, and who needs it gets it."""

import subprocess
import sys

import pytest

CODE = """
import sys
from emflow.start import spare_imports, with_sklearn
spare_imports()
import transformers.generation.utils
assert sys.modules["sklearn"] is None, "transformers has imported it"
with_sklearn()
with_sklearn()
import sklearn
"""


def test_sklearn_is_spared_and_comes_back():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("before", ["", "import sklearn; "])
def test_a_process_that_has_it_keeps_it(before):
    code = (
        f"{before}from emflow.start import spare_imports, with_sklearn; spare_imports(); with_sklearn(); import sklearn"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_at_its_end_no_garbage_is_looked_for():
    code = (
        "import atexit, gc; from emflow.start import spare_imports; "
        "atexit.register(lambda: print(gc.get_freeze_count())); spare_imports()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 0


@pytest.mark.parametrize("module", ["directions.estimate", "directions.compare", "models.moments"])
def test_who_loads_no_model_does_not_import_what_does(module):
    code = f"import sys, emflow.{module}; assert 'torch' in sys.modules; assert 'transformers' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
