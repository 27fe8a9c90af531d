"""docs/architecture.md names the rooms that there are."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/architecture.md").read_text()


def test_every_room_is_named_and_every_named_room_exists():
    rooms = {str(file.parent.relative_to(ROOT)) for file in (ROOT / "src/emflow").rglob("*.py")}
    assert set(re.findall(r"^\| `(src/emflow[\w/]*)` \|", PAGE, flags=re.MULTILINE)) == rooms


def test_every_rules_file_is_named():
    assert set(re.findall(r"`(\w+\.smk)`", PAGE)) == {file.name for file in (ROOT / "workflow/rules").glob("*.smk")}
