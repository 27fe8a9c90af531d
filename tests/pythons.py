"""Other Pythons of this machine."""

import os
import shutil
import subprocess
from pathlib import Path

__all__ = ["find_python"]


def find_python(*versions: str) -> str | None:
    """The first of these versions ("3.13") that is here, by pyenv or on the path, and can make virtual environments."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for version in versions:
        found = [*map(str, sorted(pyenv.glob(f"{version}.*/bin/python3"))), shutil.which(f"python{version}")]
        for python in filter(None, found):
            if subprocess.run([python, "-c", "import ensurepip"], capture_output=True).returncode == 0:
                return python
    return None
