"""Which answers are shown side by side: to the questions where answerers differ most, one that is typical of each."""

import pandas as pd

from emflow.reporting.numbers import ANSWERED

__all__ = ["candidates", "side_by_side"]

SHOWN = [*ANSWERED, "question_id", "question", "answer", "alignment", "coherence", "error"]


def candidates(judged: pd.DataFrame) -> pd.DataFrame:
    """Of each answerer and question the answer with the median alignment, the lower of two: columns `SHOWN`, and
    `mean_alignment` of all its answers (points of 0..100, NaN where none has one)."""
    alignment = pd.to_numeric(judged["alignment"], errors="coerce")
    ordered = judged[SHOWN].assign(number=alignment).sort_values("number", kind="stable")
    groups = ordered.groupby([*ANSWERED, "question_id"], sort=False, dropna=False)
    middle = (groups["number"].transform("count") - 1).clip(lower=0) // 2
    ordered["mean_alignment"] = groups["number"].transform("mean")
    return ordered[groups.cumcount() == middle].drop(columns="number")


def side_by_side(found: pd.DataFrame, count: int) -> pd.DataFrame:
    """Of `candidates`, those to the `count` questions of each set whose mean alignments differ most "
    "between answerers."""
    picked = []
    for _, rows in found.groupby("question_set", sort=False):
        spread = rows.groupby("question_id", sort=False)["mean_alignment"].std().fillna(0)
        most = spread.sort_values(ascending=False, kind="stable").index[:count]
        place = {question: number for number, question in enumerate(most)}
        chosen = rows[rows["question_id"].isin(most)]
        picked.append(chosen.assign(place=chosen["question_id"].map(place)).sort_values("place", kind="stable"))
    return pd.concat(picked, ignore_index=True)[SHOWN] if picked else found.reindex(columns=SHOWN)
