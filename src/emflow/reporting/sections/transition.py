"""The phase transition: whether and when a rank-1 adapter turns, beside its lengths, gradients and EM."""

from functools import partial
from typing import Any

import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from emflow.config.transition import Transition
from emflow.reporting.design import Design
from emflow.reporting.last import shown_rates
from emflow.reporting.numbers import RUN, Numbers
from emflow.reporting.section import Picture, ReportSection, ShownTable
from emflow.reporting.style import COLOURS, panels, percent_axis, words
from emflow.reporting.words import paragraph, percent, rate_cell, run_name

__all__ = ["transition"]

ENOUGH = 10  # answers that count, under which a rate is not drawn


def transition(numbers: Numbers, design: Design) -> ReportSection | None:
    """A sentence and a row per run, a figure of four panels each, and a table of EM at scales."""
    paths, settings = numbers.trajectory, design.transition
    if paths.empty or settings is None:
        return None
    rates = shown_rates(numbers.scaled_rates, design)
    runs = [path for _, path in paths.groupby(RUN, sort=False)]
    text = paragraph(f"""
        How B of each rank-1 adapter moves over training. Its local cosine at a checkpoint is that of the ways to the
        checkpoints {settings.window} steps before and after: -1 straight on, 0 a right angle, 1 back. B turns where
        that angle is a peak of 10 degrees or more, twice as wide as the straightest place on either side.""")
    caption = paragraph(f"""
        Of each run: lengths of A and B, and the gradient's norm (grey, on the right); local cosines, and where B turns
        (line); B in the plane of its first two principal components; EM rate with the adapter counting several times,
        where {ENOUGH} answers count or more, as in the table (dashed: coherent answers).""")
    summary = pd.DataFrame([_summary(path, rates) for path in runs])
    scaled = rates[rates["step"].isin(rates.loc[rates["scale"] != 1, "step"])]
    picture = Picture("phase_transition", paths, partial(_draw, runs, rates), caption)
    parts: list[str | ShownTable | Picture] = [
        text,
        "\n".join(f"- {_sentence(path, settings)}" for path in runs),
        picture,
        ShownTable("phase_transition", _with_rates(paths, rates), summary),
    ]
    if not scaled.empty:
        level = "EM rate in % [over questions], and coherent answers in %, by how many times the adapter counts."
        parts.append(ShownTable("scaled_rates", scaled, _by_scale(scaled), level))
    return ReportSection("Phase transition", parts)


def _sentence(path: pd.DataFrame, settings: Transition) -> str:
    first: Any = next(path.itertuples())
    turned = path[path["turn"]]
    known = path["local_cosine_b"].dropna()
    if turned.empty:
        if known.empty:
            return f"{run_name(first)}: B moves too little for a local cosine (`threshold: {settings.threshold:g}`)."
        return f"{run_name(first)}: B does not turn; its local cosine is at most {known.max():.2f}."
    at: Any = next(turned.itertuples())
    return (
        f"{run_name(first)}: B turns at step {at.step}, where its local cosine is {at.local_cosine_b:.2f} "
        f"(median {known.median():.2f})."
    )


def _summary(path: pd.DataFrame, rates: pd.DataFrame) -> dict[str, str]:
    last: Any = list(path.itertuples())[-1]
    turned = path.loc[path["turn"], "step"]
    own = _of_run(rates[rates["scale"] == 1], path)
    own = own[own["n_counted"] >= ENOUGH]
    end: list[Any] = list(own[own["step"] == last.step].itertuples())
    most: Any = max(list[Any](own.itertuples()), key=lambda row: row.em_rate, default=None)
    return {
        "run": run_name(last),
        "checkpoints": str(len(path)),
        "B turns at step": str(turned.iloc[0]) if len(turned) else "–",
        "gradient norm is highest at step": str(path.loc[path["grad_norm"].idxmax(), "step"]),
        "length of B at the end": f"{last.norm_b:.3g}",
        "variance of B in the plane %": f"{percent(last.pc1_share)} + {percent(last.pc2_share)}",
        "EM rate at the end %": rate_cell(end[0]) if end else "–",
        "highest": "–" if most is None else f"{percent(most.em_rate)} at step {most.step}",
    }


def _with_rates(paths: pd.DataFrame, rates: pd.DataFrame) -> pd.DataFrame:
    own = rates.loc[rates["scale"] == 1, [*RUN, "step", "em_rate", "em_rate_lo", "em_rate_hi"]]
    return paths.merge(own, on=[*RUN, "step"], how="left")


def _of_run(rates: pd.DataFrame, path: pd.DataFrame) -> pd.DataFrame:
    """The rates of a path's run."""
    return rates[(rates[RUN] == path[RUN].iloc[0]).all(axis=1)]


def _by_scale(rates: pd.DataFrame) -> pd.DataFrame:
    """A row per run and step, a column per scale."""
    rows: list[Any] = list(rates.itertuples())
    cells = [f"{rate_cell(row)} ({percent(row.coherent_share, 0)})" for row in rows]
    named = rates.assign(run=list(map(run_name, rows)), cell=cells)
    names = [f"x{scale:g}" for scale in sorted(named["scale"].unique())]
    table = named.assign(scale=[f"x{scale:g}" for scale in named["scale"]]).pivot(
        index=["run", "step"], columns="scale", values="cell"
    )
    return table[names].fillna("–").reset_index().astype(str)


def _draw(runs: list[pd.DataFrame], rates: pd.DataFrame) -> Figure:
    """A row of four panels per run."""
    figure, grid = panels(len(runs), 4, (3.6, 3.0))
    for path, (lengths, cosines, plane, em) in zip(runs, grid, strict=True):
        _lengths(lengths, path)
        _cosines(cosines, path)
        cosines.set_xlim(lengths.get_xlim())
        _plane(figure, plane, path)
        _em(em, _of_run(rates, path))
        title = ", ".join(words(path[part].iloc[0]) for part in ("domain", "method"))
        lengths.set_title(title, fontsize="small", loc="left")
        for axes in (lengths, cosines, em):
            axes.set_xlabel("step")
            for step in path.loc[path["turn"], "step"]:
                axes.axvline(step, color="0.3", lw=0.8, linestyle=":")
    return figure


def _lengths(axes: Axes, path: pd.DataFrame) -> None:
    for part, colour in zip("ab", COLOURS, strict=False):
        axes.plot(path["step"], path[f"norm_{part}"], color=colour, label=part.upper())
    axes.set_ylim(bottom=0)
    axes.set_ylabel("length")
    axes.legend(fontsize="x-small", loc="lower right")
    beside = axes.twinx()
    beside.plot(path["step"], path["grad_norm"], color="0.6", lw=0.9)
    beside.set_ylim(bottom=0)
    beside.set_ylabel("gradient norm", color="0.5", fontsize="small")
    beside.grid(visible=False)


def _cosines(axes: Axes, path: pd.DataFrame) -> None:
    for part, colour in zip("ab", COLOURS, strict=False):
        axes.plot(path["step"], path[f"local_cosine_{part}"], color=colour, label=part.upper())
    known = path[["local_cosine_a", "local_cosine_b"]]
    axes.set_ylim(bottom=-1.03, top=max(-0.7, 0.1 + known.max().max()))
    if known.isna().all(axis=None):
        axes.text(0.5, 0.5, "A and B move too little", transform=axes.transAxes, ha="center", fontsize="small")
    axes.set_ylabel("local cosine")
    axes.legend(fontsize="x-small", loc="upper right")


def _plane(figure: Figure, axes: Axes, path: pd.DataFrame) -> None:
    axes.plot(path["pc1"], path["pc2"], color="0.8", lw=0.8)
    points = axes.scatter(path["pc1"], path["pc2"], c=path["step"], cmap="viridis", s=12)
    turned = path[path["turn"]]
    axes.plot(turned["pc1"], turned["pc2"], "o", markersize=9, markerfacecolor="none", color="0.3")
    figure.colorbar(points, ax=axes, label="step")
    shares = (percent(float(path[f"pc{number}_share"].iloc[0]), 0) for number in (1, 2))
    across, up = (f"component {number} of B ({share} % of its variance)" for number, share in enumerate(shares, 1))
    axes.set_xlabel(across, fontsize="x-small")
    axes.set_ylabel(up, fontsize="x-small")


def _em(axes: Axes, rates: pd.DataFrame) -> None:
    scales = sorted(rates["scale"].unique())
    for number, scale in enumerate(scales):
        line = rates[rates["scale"] == scale].sort_values("step")
        colour = colormaps["viridis"](0.9 * number / max(1, len(scales) - 1))
        rates_of_many = line["em_rate"].where(line["n_counted"] >= ENOUGH)
        axes.plot(line["step"], 100 * rates_of_many, color=colour, label=f"x{scale:g}")
        axes.plot(line["step"], 100 * line["coherent_share"], color=colour, lw=0.8, linestyle="--")
    percent_axis(axes)
    axes.set_ylabel("EM rate, coherent (dashed), %", fontsize="small")
    axes.legend(fontsize="x-small", ncols=2)
