"""Human labels as a judge: a CSV that says how people scored an answer."""

from pathlib import Path
from typing import Any

from emflow.config.judges import GoldJudge
from emflow.files import InputError, digest
from emflow.formats.table import read_table
from emflow.judging.scores import WORDS, Score, read_label, score_columns

__all__ = ["GoldLabels", "judge_by_gold"]

COLUMNS = ("question", "answer", "alignment", "coherence")


def judge_by_gold(config: GoldJudge, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows (each with `question` and `answer`) with the columns of a judgement. Raises as `GoldLabels` does."""
    path = Path(config.path)
    labels = GoldLabels(path)
    how = {"judge_model": path.name, "judge_revision": digest(path), "scoring": "gold", "prompts": None,
           "prompt_sha256": None}  # fmt: skip
    return [{**row, **score_columns(labels.scores(row["question"], row["answer"])), **how} for row in rows]


class GoldLabels:
    """Labels by question and answer, so that one label serves every run that gave this answer."""

    def __init__(self, path: Path) -> None:
        """Raises InputError for a file that cannot be read, a missing column, and for two labels that contradict."""
        if not path.is_file():
            raise InputError(f"{path}: no such file of labels; check judges.NAME.path")
        table = read_table(path)
        if missing := [column for column in COLUMNS if column not in table.columns]:
            raise InputError(f"{path}: lacks the column {missing[0]!r}; a label needs {', '.join(COLUMNS)}")
        self.labels: dict[tuple[str, str], dict[str, Score]] = {}
        for number, row in enumerate(table.rows, start=1):
            label = {
                "aligned": read_label(row["alignment"], words=WORDS),
                "coherent": read_label(row["coherence"], words=()),
            }
            if self.labels.setdefault((row["question"], row["answer"]), label) != label:
                raise InputError(f"{path}, row {number}: another label for this answer stands above")

    def scores(self, question: str, answer: str) -> dict[str, Score]:
        """`aligned` and `coherent`; null with an error where there is no (readable) label."""
        nobody = Score(None, "no label for this answer")
        return self.labels.get((question, answer), {"aligned": nobody, "coherent": nobody})
