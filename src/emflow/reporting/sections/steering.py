"""A direction put in: EM rate and coherence by layer and strength, as chosen and as evaluated."""

from functools import partial
from typing import Any

import pandas as pd
from matplotlib import colormaps
from matplotlib.figure import Figure

from emflow.reporting.design import Design
from emflow.reporting.last import shown_rates
from emflow.reporting.numbers import Numbers
from emflow.reporting.section import Picture, ReportSection
from emflow.reporting.style import legend_below, panels, percent_axis, words
from emflow.reporting.words import paragraph

__all__ = ["steering"]

WHO = ["model", "domain", "method", "seed", "checkpoint"]
LINE = [*WHO, "intervention", "layers"]
MEASURES = {"em_rate": "EM rate (%)", "coherent_share": "coherent answers (%)"}


def steering(numbers: Numbers, design: Design) -> ReportSection | None:
    """A figure of every layer and strength."""
    if design.directions is None:
        return None
    shown = shown_rates(numbers.interventions, design)
    rows = shown[shown["kind"] == "add"]
    if rows.empty:
        return None
    added = shown[shown["kind"].isin(["add", "random"]) & shown["coefficient"].notna()]  # random ablations have none
    chosen_on, evaluated_on = design.directions.choose_on, design.directions.evaluate_on
    caption = paragraph(f"""
        EM rate and coherent answers with the direction put in, a line per layer; 0 is the model as it is. Layer and
        strength were chosen on `{chosen_on}` (lines); the star is that choice on `{evaluated_on}`, a grey dot there a
        random direction of its length.""")
    plain = shown[(shown["kind"] == "none") & (shown["question_set"] == chosen_on)].assign(coefficient=0.0)
    starts = plain.drop(columns=["intervention", "layers"]).merge(rows[LINE].drop_duplicates(), on=WHO)
    data = pd.concat([starts, added], ignore_index=True)
    return ReportSection("Steering", [Picture("steering", data, partial(_draw, data, chosen_on), caption)])


def _draw(data: pd.DataFrame, chosen_on: str) -> Figure:
    """A row of panels per answerer and intervention."""
    groups = list(data.groupby([*WHO, "intervention"], sort=False, dropna=False))
    figure, grid = panels(len(groups), len(MEASURES), (4.4, 3.0))
    key: Any
    for (key, rows), row in zip(groups, grid, strict=True):
        layers = list(rows.groupby(rows["layers"].astype(int)))
        for (measure, title), axes in zip(MEASURES.items(), row, strict=True):
            for number, (layer, line) in enumerate(layers):
                colour = colormaps["viridis"](number / len(layers))
                tried = (line["question_set"] == chosen_on).to_numpy()
                x, y = line["coefficient"].to_numpy(), 100 * line[measure].to_numpy()
                axes.plot(x[tried], y[tried], marker="o", color=colour, label=f"layer {layer}")
                at_random = (line["kind"] == "random").to_numpy()
                axes.plot(x[at_random], y[at_random], "o", color="0.5", alpha=0.5)
                axes.plot(x[~tried & ~at_random], y[~tried & ~at_random], "*", markersize=12, color=colour)
            percent_axis(axes)
            axes.set_xlabel("length, in mean norms of the base's activations")
            axes.set_ylabel(title)
            of = key[0] if key[4] == "base" else " · ".join(map(str, key[:4]))
            axes.set_title(f"{of}: {words(key[-1])}", fontsize="medium" if key[4] == "base" else "small")
    legend_below(figure, *grid.flat, ncols=4)
    return figure
