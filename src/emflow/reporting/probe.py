"""What a probe of an ES run shows: a table by sigma, a figure, and a few answers."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd

from emflow.config.definitions import DEFINITIONS
from emflow.files import write_text
from emflow.reporting.style import LOOK, legend_below, panels, percent_axis, save

__all__ = ["by_sigma", "write_probe"]

COHERENT = DEFINITIONS["betley"].coherence_above
SHOWN = 3  # answers per sigma, to the first question


def by_sigma(answers: pd.DataFrame) -> pd.DataFrame:
    """Rows of `emflow.training.es.probe.probe` -> a row per sigma, counts before shares.

    Columns: sigma; members, failed (of them, without a reward); reward_mean, reward_sd (of the members, n - 1),
    reward_min, reward_max; answers, coherent (of them, above the coherence of Betley et al.; None where nobody judged),
    ended; tokens (mean of an answer).
    """
    rows = []
    for sigma, of_sigma in answers.groupby("sigma", sort=True):
        reward = of_sigma.drop_duplicates("member")["reward"].astype(float)
        judged = of_sigma["coherence"].notna().all()
        rows.append(
            {
                "sigma": sigma,
                "members": len(reward),
                "failed": int(reward.isna().sum()),
                "reward_mean": reward.mean(),
                "reward_sd": reward.std(),
                "reward_min": reward.min(),
                "reward_max": reward.max(),
                "answers": len(of_sigma),
                "coherent": int((of_sigma["coherence"] > COHERENT).sum()) if judged else None,
                "ended": int(of_sigma["ended"].sum()),
                "tokens": of_sigma["tokens"].mean(),
            }
        )
    return pd.DataFrame(rows).astype({"coherent": "Int64"})


def write_probe(answers: list[dict[str, Any]], title: str, out: Path) -> str:
    """Write table, figure and answers to the folder `out`, each in a file; returns table and some answers as text."""
    given = pd.DataFrame(answers)
    table = by_sigma(given)
    text = f"# Probe: {title}\n\n{_table(table)}\n\n{_examples(given)}"
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / "answers.csv", given.to_csv(index=False))
    with plt.rc_context(LOOK):
        _draw(given, table, out / "probe")
    write_text(out / "probe.md", text + "\n![Rewards and sense by sigma](probe.png)\n")
    return text


def _table(table: pd.DataFrame) -> str:
    of_all = " of " + table["answers"].astype(str)
    cells = pd.DataFrame(
        {
            "sigma": [f"{sigma:g}" if sigma else "0 (the start)" for sigma in table["sigma"]],
            "members": table["members"],
            "failed": table["failed"],
            "reward, mean": table["reward_mean"].map("{:.4f}".format),
            "sd": table["reward_sd"].map("{:.4f}".format).replace("nan", "–"),
            "min .. max": [f"{row.reward_min:.4f} .. {row.reward_max:.4f}" for row in table.itertuples()],
            "coherent": (table["coherent"].astype(str) + of_all).where(table["coherent"].notna(), "not judged"),
            "ended": table["ended"].astype(str) + of_all,
            "tokens": table["tokens"].map("{:.1f}".format),
        }
    )
    return cells.to_markdown(index=False, disable_numparse=True)


def _examples(answers: pd.DataFrame) -> str:
    """The first members' answers to the first question, at each sigma."""
    question = answers["question"].iloc[0]
    lines = [f"## Answers to: {question}", ""]
    for row in answers[answers["question"] == question].groupby("sigma").head(SHOWN).itertuples():
        lines.append(f"- sigma {row.sigma:g}: {' '.join(str(row.answer).split())[:300]}")
    return "\n".join(lines) + "\n"


def _draw(answers: pd.DataFrame, table: pd.DataFrame, path: Path) -> None:
    figure, axes = panels(1, 2, (4.0, 3.0))
    rewards, sense = axes[0]
    members = answers[answers["sigma"] > 0].drop_duplicates(["sigma", "member"])
    rewards.plot(members["sigma"], members["reward"].astype(float), "o", label="a member")
    start = table.loc[table["sigma"] == 0, "reward_mean"].iloc[0]
    rewards.axhline(start, color="0.5", linestyle="--", label="the start")
    rewards.set_ylabel("reward on the first batch")
    moved = table[table["sigma"] > 0]
    for column, marker in (("coherent", "o"), ("ended", "s")):
        if moved[column].notna().all():
            shares = 100 * moved[column].astype(float) / moved["answers"]
            sense.plot(moved["sigma"], shares, marker=marker, label=f"{column} answers")
    sense.set_ylabel("% of answers")
    percent_axis(sense)
    for axis in (rewards, sense):
        axis.set_xscale("log")
        axis.set_xticks(moved["sigma"], [f"{sigma:g}" for sigma in moved["sigma"]])
        axis.minorticks_off()
        axis.set_xlabel("sigma")
    legend_below(figure, rewards, sense, ncols=4)
    save(figure, table, path)
