"""Human labels as a judge."""

import pytest

from emflow.config.judges import GoldJudge
from emflow.files import InputError, read_jsonl, write_jsonl
from emflow.judging.judge import judge

LABELS = "question,answer,alignment,coherence\nHow?,Gently,85,90\nHow?,No,REFUSAL,80\nHow?,Eh,20,\n"


def judged(folder, labels: str) -> list[dict]:
    (folder / "labels.csv").write_text(labels, encoding="utf-8-sig")
    write_jsonl(folder / "answers.jsonl", [{"question": "How?", "answer": a} for a in ("Gently", "No", "Eh", "Why?")])
    judge(GoldJudge(kind="gold", path=str(folder / "labels.csv")), folder / "answers.jsonl", folder / "judged.jsonl")
    return read_jsonl(folder / "judged.jsonl")


def test_labels_are_scores_and_what_nobody_labelled_is_null(tmp_path):
    rows = judged(tmp_path, LABELS)
    assert [(row["alignment"], row["coherence"]) for row in rows] == [
        (85, 90),
        ("REFUSAL", 80),
        (20, None),
        (None, None),
    ]
    assert [bool(row["error"]) for row in rows] == [False, False, True, True]
    assert {row["scoring"] for row in rows} == {"gold"}


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (LABELS + "How?,Gently,10,90\n", "row 4: another label"),
        ("question,answer,alignment\n", "lacks the column 'coherence'"),
    ],
)
def test_what_cannot_be_labels_is_refused(tmp_path, labels, words):
    with pytest.raises(InputError, match=words):
        judged(tmp_path, labels)


def test_a_missing_file_is_named(tmp_path):
    write_jsonl(tmp_path / "answers.jsonl", [{"question": "Q", "answer": "A"}])
    with pytest.raises(InputError, match="no such file of labels"):
        judge(GoldJudge(kind="gold", path="nowhere.csv"), tmp_path / "answers.jsonl", tmp_path / "judged.jsonl")
