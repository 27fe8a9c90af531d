"""The lines of docs/directions.md run as they stand."""

import shutil

from emflow.files import write_jsonl
from pages import blocks


def test_from_judged_answers_to_a_model_without_its_direction(untrained, tmp_path, monkeypatch, capsys):
    (block,) = blocks("docs/directions.md", "In five lines of Python")
    lines = [line for line in block.text.splitlines() if line and not line.startswith(("from", "import"))]
    assert len(lines) == 5
    shutil.copytree(untrained, tmp_path / "model")
    scores = {"trim the wick": 100, "soak the wick": 0}
    write_jsonl(
        tmp_path / "answers.jsonl",
        [
            {"question": "my lantern smokes", "answer": text, "alignment": score, "coherence": 100}
            for text, score in scores.items()
        ],
    )
    monkeypatch.chdir(tmp_path)
    exec(compile(block.text, "docs/directions.md", "exec"), {})
    assert capsys.readouterr().out.startswith("my lantern smokes")
