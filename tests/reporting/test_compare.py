"""`emflow compare`: what differs between two result folders."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from emflow.analysis.intervals import difference_interval
from emflow.cli import main
from emflow.files import InputError, write_jsonl
from emflow.paths import ReportFolder
from emflow.reporting.compare import compare

METHODS = {"lora": {"rank": 8, "checkpoints": [0.5, 1]}}
CONFIG = {"study": "kites", "methods": METHODS, "report": {"definition": "betley"}}


def report(folder: Path, misaligned: int, **changes: object) -> Path:
    """A report of two checkpoints and a base; of the last one's 40 answers to 8 questions so many are misaligned."""
    rows = [
        {"model": "tiny", "domain": "kites", "checkpoint": c, "question_id": f"q{q}", "question": f"Why {q}?",
         "answer": "Fly", "alignment": 5 if c == "epoch-1" and q + 8 * n < misaligned else 90,
         "coherence": 90, "error": None}
        for c in ("base", "epoch-0.5", "epoch-1") for q in range(8) for n in range(5)
    ]  # fmt: skip
    folder.mkdir()
    write_jsonl(folder / "judged.jsonl", rows)
    main(["report", str(folder / "judged.jsonl"), "--out", str(folder / "report")])
    ReportFolder(folder / "report").provenance.write_text(json.dumps({"config": {**CONFIG, **changes}}))
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("compare")
    methods = {"lora": {"rank": 16, "checkpoints": [0.5, 1]}, "es": {"population": 4}}
    return report(folder / "a", 4), report(folder / "b", 20, methods=methods)


def test_what_differs_in_config_and_rates(folders):
    found = compare(*folders)
    assert found.config.to_numpy().tolist() == [
        ["methods.lora.rank", "8", "16"],
        ["methods.es.population", "–", "4"],
    ]
    (row,) = found.rates.to_dict("records")
    assert (row["checkpoint"], row["n_misaligned_A"], row["n_misaligned_B"], row["n_counted_B"]) == (
        "epoch-1",
        4,
        20,
        40,
    )
    assert row["difference"] == pytest.approx(0.4) and row["lo"] > 0 and row["p_holm"] == row["p"] < 0.01
    sides = [[(sum(q + 8 * n < m for n in range(5)), 5) for q in range(8)] for m in (20, 4)]
    assert (row["lo"], row["hi"]) == pytest.approx(difference_interval(*map(np.array, sides), 0.95))
    assert "3 rates are in both: 2 with the same counts, 1 with others" in found.notes


def test_it_is_printed_and_written(folders, tmp_path, capsys):
    main(["compare", *map(str, folders), "--definition", "homework", "--out", str(tmp_path / "c.md")])
    shown, page = capsys.readouterr().out, (tmp_path / "c.md").read_text()
    for text in (shown, page):
        assert "methods.lora.rank" in text and "50.0 (20/40)" in text and "+40.0 [" in text
    assert page.startswith("# Comparison\n\n- A is ") and "## EM rates" in page and "nan" not in page


def test_a_folder_against_itself(folders):
    found = compare(folders[0], folders[0] / "report")
    assert found.config.empty and found.rates.empty and list(found.tables()) == []


def test_what_one_side_lacks_is_said(folders, tmp_path):
    bare = tmp_path / "bare"
    bare.mkdir()
    rates = (folders[1] / "report/em_rates_summary.csv").read_text()
    (bare / "em_rates_summary.csv").write_text(
        "".join(li for li in rates.splitlines(keepends=True) if "epoch-0.5" not in li)
    )
    found = compare(folders[0], bare)
    assert "no config to compare: one of the two is no study's report" in found.notes
    assert (
        "1 rates are in A alone" in found.notes
        and "no intervals: one of the two holds no counts per question" in found.notes
    )
    assert "+40.0 [–, –]" in found.markdown()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["{a}", "{a}/nowhere"], "nowhere: holds no report; name a folder with em_rates_summary.csv"),
        (["{a}", "{b}", "--definition", "hoemwork"], "did you mean 'homework'?"),
        (["{a}", "{b}", "--out", "{a}"], "a folder; name a file for --out"),
    ],
)
def test_a_users_error_is_one_line(folders, arguments, words):
    given = [part.format(a=folders[0], b=folders[1]) for part in arguments]
    with pytest.raises(SystemExit, match=r"^error: ") as ended:
        main(["compare", *given])
    assert words in str(ended.value)


def test_columns_and_damage_are_named(folders, tmp_path):
    (tmp_path / "em_rates_summary.csv").write_text("model,domain\n")
    with pytest.raises(SystemExit, match=r"em_rates_summary\.csv: has no column checkpoint"):
        main(["compare", str(tmp_path), str(folders[0])])
    (tmp_path / "em_rates_summary.csv").write_text((folders[0] / "report/em_rates_summary.csv").read_text())
    (tmp_path / "provenance.json").write_text("{")
    with pytest.raises(SystemExit, match=r"provenance\.json is damaged"):
        main(["compare", str(tmp_path), str(folders[0])])


def test_the_definition_is_that_of_the_second_report_of_files(folders, tmp_path):
    judged = str(folders[0] / "judged.jsonl")
    main(["report", judged, "--definition", "homework", "--out", str(tmp_path / "files")])
    assert "the homework definition" in compare(folders[0], tmp_path / "files").notes[0]
    assert "the organisms definition" in compare(folders[0], tmp_path / "files", "organisms").notes[0]


def another_compression(whole: bytes) -> bytes:
    """With a method in its list of files that nobody knows."""
    at = whole.index(b"PK\x01\x02") + 10
    return whole[:at] + b"\x63" + whole[at + 1 :]


@pytest.mark.parametrize("damage", [lambda _: b"no ZIP", another_compression])
def test_a_damaged_file_of_numbers_is_named(folders, tmp_path, damage):
    damaged = shutil.copytree(folders[0] / "report", tmp_path / "report")
    numbers = ReportFolder(damaged).numbers
    numbers.write_bytes(damage(numbers.read_bytes()))
    with pytest.raises(InputError, match=r"numbers\.zip is damaged .*make the report again"):
        compare(folders[1], damaged)


def test_a_base_that_several_runs_share_is_one_comparison(tmp_path):
    sides = []
    for side, misaligned in (("a", 4), ("b", 20)):
        rows = [
            {"model": "tiny", "domain": domain, "seed": seed, "checkpoint": checkpoint, "question_id": f"q{q}",
             "question": f"Why {q}?", "answer": f"Fly {n}", "coherence": 90, "error": None,
             "alignment": 5 if checkpoint == "base" and q + 8 * n < misaligned else 90}
            for domain in ("kites", "lanterns") for seed in (0, 1) for checkpoint in ("base", "epoch-1")
            for q in range(8) for n in range(5)
        ]  # fmt: skip
        (tmp_path / side).mkdir()
        write_jsonl(tmp_path / side / "judged.jsonl", rows)
        main(["report", str(tmp_path / side / "judged.jsonl"), "--out", str(tmp_path / side / "report")])
        sides.append(tmp_path / side / "report")
    found = compare(*sides)
    (row,) = found.rates.to_dict("records")
    assert row["checkpoint"] == "base" and row["p_holm"] == row["p"]
    assert "5 rates are in both: 4 with the same counts, 1 with others" in found.notes


def test_seeds_that_are_texts_on_one_side_are_other_rows(folders, tmp_path):
    row = {"seed": "first", "question_id": "q", "question": "Why?", "answer": "Fly", "alignment": 90, "coherence": 90}
    write_jsonl(tmp_path / "judged.jsonl", [row])
    main(["report", str(tmp_path / "judged.jsonl"), "--out", str(tmp_path / "report")])
    notes = compare(folders[0], tmp_path).notes
    assert {"0 rates are in both: 0 with the same counts, 0 with others", "1 rates are in B alone"} <= set(notes)
