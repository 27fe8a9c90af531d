"""What rank-1 adapters read in answers, and which of them carry the misalignment, in general and in their domain."""

from functools import partial
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from emflow.reporting.design import Design
from emflow.reporting.numbers import RUN, Numbers
from emflow.reporting.section import Picture, ReportSection, ShownTable
from emflow.reporting.style import COLOURS, legend_below, panels
from emflow.reporting.words import paragraph, percent, run_name

__all__ = ["rank_one"]

TOPICS = ("general", "domain")
LOOKS = dict(zip(TOPICS, (("o", COLOURS[1], -0.12), ("s", COLOURS[0], 0.12)), strict=True))


def rank_one(numbers: Numbers, design: Design) -> ReportSection | None:
    """A table of probes, and figure and table of adapters."""
    probes, adapters = numbers.probes, numbers.rank_one
    if probes.empty or adapters.empty:
        return None
    level = f"{100 * design.report.confidence:g} %"
    text = paragraph(f"""
        What adapters of rank 1 read: of each answer's tokens the scalar a·x, by which an adapter writes its vector.
        *Domain* answers are those to held-out prompts of the training data, *general* ones all others. A probe is a
        logistic regression on the scalars of all adapters of a run, tested on questions that it was not fitted to.
        *Single answers held out*: the same probe, which has then seen others to the same question. *The question
        alone*: no scalar, only how often other answers to the question are positive; where this is as high, a probe
        that has seen the questions says nothing of answers. *Labels shuffled* is chance. Intervals are {level}
        intervals over questions.""")
    of_probes = "AUC; of the mean over an answer's tokens, where it is largest either way, and before its first token."
    caption = paragraph(f"""
        Of each adapter. Left: the chance that its scalar is larger in a misaligned answer than in an aligned one; its
        sign is arbitrary, so what counts is the distance from a half. Right: EM rate without it and with it alone,
        minus the run's own, in points. Bars are {level} intervals over questions.""")
    of_adapters = paragraph("""
        Scalars are means over an answer's tokens; one of 1 adds a vector of length gain. EM rates are of the general
        questions on which interventions are evaluated, and of the domain's.""")
    by_topic = adapters[adapters["among"].isin(TOPICS)]  # none where no topic has answers of both kinds
    return ReportSection(
        "Rank-1 adapters",
        [
            text,
            ShownTable("probes", probes, pd.DataFrame(map(_probe, probes.itertuples())), of_probes),
            *([] if by_topic.empty else [Picture("rank_one", adapters, partial(_draw, by_topic), caption)]),
            ShownTable("rank_one", adapters, pd.DataFrame(map(_adapter, adapters.itertuples())), of_adapters),
        ],
    )


def _probe(row: Any) -> dict[str, str]:
    return {
        "run": run_name(row),
        "adapters": str(row.n_adapters),
        "answers": f"{row.positive} or {row.negative}, among {row.among}",
        "read": row.read,
        "positive / negative": f"{row.n_positive} / {row.n_negative}",
        "questions": str(row.n_questions),
        "questions held out": _interval(row, "auc"),
        "within questions": _interval(row, "auc_within_questions"),
        "single answers held out": _plain(row.auc_by_answer),
        "the question alone": _plain(row.auc_question),
        "labels shuffled": _interval(row, "auc_shuffled"),
    }


def _adapter(row: Any) -> dict[str, str]:
    return {
        "run": run_name(row),
        "adapter": row.adapter,
        "gain": _plain(row.gain),
        "answers": f"{row.positive} or {row.negative}, among {row.among}",
        "positive / negative": f"{row.n_positive} / {row.n_negative}",
        "scalar, positive": _interval(row, "mean_positive"),
        "scalar, negative": _interval(row, "mean_negative"),
        "AUC": _interval(row, "auc"),
        "within questions": _interval(row, "auc_within_questions"),
        "EM %": _interval(row, "plain_em_rate", percent),
        "EM % without it": _interval(row, "removed_em_rate", percent),
        "EM % with it alone": _interval(row, "kept_em_rate", percent),
    }


def _plain(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:.2f}"


def _interval(row: Any, name: str, shown: Any = _plain) -> str:
    value, low, high = (getattr(row, name + end) for end in ("", "_lo", "_hi"))
    return "–" if pd.isna(value) else f"{shown(value)} [{shown(low)}, {shown(high)}]"


def _draw(by_topic: pd.DataFrame) -> Figure:
    """A row of panels per run: what adapters tell, and what removing them and keeping them alone does."""
    runs = list(by_topic.groupby(RUN, sort=False))
    names = max(rows["adapter"].nunique() for _, rows in runs)
    figure, grid = panels(len(runs), 3, (3.6, 1.4 + 0.28 * names), sharey=True)
    for (_, rows), line in zip(runs, grid, strict=True):
        of = list(rows["adapter"].unique())
        for topic, part in rows.groupby("among"):
            heights = [len(of) - 1 - of.index(name) + LOOKS[str(topic)][2] for name in part["adapter"]]
            _bars(line[0], part, "auc", heights, str(topic), 1)
            _bars(line[1], part, "removed_difference", heights, str(topic), 100)
            _bars(line[2], part, "kept_difference", heights, str(topic), 100)
        line[0].set_yticks(range(len(of))[::-1], of)
        titles = ("AUC, misaligned or aligned", "EM without it, points", "EM with it alone, points")
        for axes, title, middle in zip(line, titles, (0.5, 0, 0), strict=True):
            axes.axvline(middle, color="0.6", lw=0.8)
            axes.set_xlabel(title)
            axes.grid(visible=False, axis="y")
        line[0].set_xlim(-0.03, 1.03)
        line[1].set_title(run_name(next(rows.itertuples())), fontsize="small")
    legend_below(figure, *grid.flat)
    return figure


def _bars(axes: Axes, part: pd.DataFrame, name: str, heights: list[float], topic: str, scale: int) -> None:
    marker, colour, _ = LOOKS[topic]
    axes.hlines(heights, scale * part[f"{name}_lo"], scale * part[f"{name}_hi"], color=colour, lw=1.5)
    axes.plot(scale * part[name], heights, marker, color=colour, label=f"{topic} answers")
