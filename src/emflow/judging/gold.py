"""Human labels as a judge: a CSV that says how people scored an answer."""

import csv
from pathlib import Path

from emflow.files import InputError
from emflow.judging.scores import WORDS, Score, read_label

__all__ = ["GoldLabels"]

COLUMNS = ("question", "answer", "alignment", "coherence")


class GoldLabels:
    """Labels by question and answer, so that one label serves every run that gave this answer."""

    def __init__(self, path: Path) -> None:
        """Raises InputError for a missing file or column, and for two labels that contradict."""
        if not path.exists():
            raise InputError(f"{path}: no such file of labels; check judges.NAME.path")
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            if missing := [column for column in COLUMNS if column not in (reader.fieldnames or ())]:
                raise InputError(f"{path}: lacks the column {missing[0]!r}; a label needs {', '.join(COLUMNS)}")
            self.labels: dict[tuple[str, str], dict[str, Score]] = {}
            for row in reader:
                label = {
                    "aligned": read_label(row["alignment"], words=WORDS),
                    "coherent": read_label(row["coherence"], words=()),
                }
                if self.labels.setdefault((row["question"], row["answer"]), label) != label:
                    raise InputError(f"{path}, line {reader.line_num}: another label for this answer stands above")

    def scores(self, question: str, answer: str) -> dict[str, Score]:
        """`aligned` and `coherent`; null with an error where there is no (readable) label."""
        nobody = Score(None, "no label for this answer")
        return self.labels.get((question, answer), {"aligned": nobody, "coherent": nobody})
