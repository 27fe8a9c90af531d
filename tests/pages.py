"""Pages that are run as they stand: the files they show are written, their edits made, their commands called."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from pipelines import ROOT

BLOCK = re.compile(r"(?P<lead>[^\n]*):\n\n```(?P<language>\w+)\n(?P<text>.*?)^```", re.DOTALL | re.MULTILINE)
NEW = re.compile(r"New file `([^`]+)`")
EDIT = re.compile(r"In `([^`]+)`, (above|below|in place of) (`+)(.+)\3$")


class Block(NamedTuple):
    """A fenced block, and the end of the sentence that introduces it."""

    lead: str
    language: str
    text: str


def blocks(page: str, heading: str = "") -> list[Block]:
    """The fenced blocks of a page, or of one of its sections."""
    text = (ROOT / page).read_text()
    if heading:
        text = re.split(r"^## ", text.partition(f"\n## {heading}\n")[2], flags=re.MULTILINE)[0]
        assert text, f"{page} has no section {heading}"
    return [Block(*found.group("lead", "language", "text")) for found in BLOCK.finditer(text)]


def write(block: Block, folder: Path) -> bool:
    """Do what a block says to a file: write it, or put lines above or below one of its lines, or in its place."""
    if new := NEW.search(block.lead):
        file = folder / new[1]
        assert not file.exists(), file
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(block.text)
        return True
    if edit := EDIT.search(block.lead):
        file = folder / edit[1]
        lines = file.read_text().splitlines(keepends=True)
        (at,) = (number for number, line in enumerate(lines) if line.strip() == edit[4])
        line = lines[at]
        lines[at : at + 1] = {"above": [block.text, line], "below": [line, block.text]}.get(edit[2], [block.text])
        file.write_text("".join(lines))
        return True
    return False


def call(command: list[str], folder: Path, **environment: str) -> str:
    """Run a command with the package of `folder`; its output."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "PYTHONPATH": str(folder / "src"), **environment}
    done = subprocess.run(
        command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=900
    )
    assert done.returncode == 0, done.stdout[-5000:]
    return done.stdout
