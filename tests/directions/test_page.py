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
    exec(compile(block.text, "docs/directions.md", "exec"), names := {})
    assert "my lantern smokes" in capsys.readouterr().out
    (folded,) = blocks("docs/directions.md", "Folded into the weights")
    exec(compile(folded.text, "docs/directions.md", "exec"), names)
    layer = names["load_model"](tmp_path / "folded", "float32").get_decoder().layers[0]
    assert (names["directions"]["block.1"].float() @ layer.mlp.down_proj.weight).abs().max() < 1e-4
