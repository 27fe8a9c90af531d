"""Methods side by side where they have gone equally far in the domain they were trained on.

How far damage spreads depends on how far training went, and methods go at their own pace. So each method is shown at
the checkpoint whose in-domain EM rate is nearest to the level that all of them reach.
"""

import pandas as pd

from emflow.config import Config

__all__ = ["matched"]


def matched(config: Config, shown: pd.DataFrame) -> pd.DataFrame:
    """The rows of `shown` (rates under one definition) of each method's nearest checkpoint, with the column `target`
    (rate in 0..1); empty where there are not two methods or no held-out questions.

    Domains that are controls are left out: they reach no level.
    """
    held_out = next((q for q in config.runs.question_sets if config.question_sets[q].source == "validation"), None)
    treated = [name for name, domain in config.domains.items() if domain.control_of is None]
    trained = shown[(shown["checkpoint"] != "base") & shown["domain"].isin(treated)]
    picked = [trained.iloc[:0].assign(target=0.0)]
    for _, rows in trained.groupby(["model", "domain", "seed", "judge"], sort=False):
        inside = rows[rows["question_set"] == held_out]
        if inside["method"].nunique() < 2:
            continue
        target = inside.groupby("method")["em_rate"].max().min()
        nearest = inside.loc[(inside["em_rate"] - target).abs().groupby(inside["method"], sort=False).idxmin()]
        picked.append(rows.merge(nearest[["method", "checkpoint"]]).assign(target=target))
    return pd.concat(picked, ignore_index=True)
