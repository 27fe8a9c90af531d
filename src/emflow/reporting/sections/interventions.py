"""What is left of the EM rate under interventions, beside none and beside random directions; and across runs."""

from functools import partial
from operator import attrgetter
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from emflow.config.directions import Ablate, Intervention, Random
from emflow.reporting.design import Design
from emflow.reporting.last import shown_rates
from emflow.reporting.numbers import Numbers
from emflow.reporting.section import Picture, ReportSection, ShownTable
from emflow.reporting.style import COLOURS, panels, words
from emflow.reporting.words import one_digit, paragraph, percent, rate_cell, run_name, span

__all__ = ["evaluated", "interventions", "taken_away"]

ENDS = ["em_rate_lo", "em_rate_hi"]
SPANS = ["em_rate", "coherent_share", "tokens_mean"]
COUNTS = ["n_misaligned", "n_counted", "n_unjudged"]


def interventions(numbers: Numbers, design: Design) -> ReportSection | None:
    """Figure and table of all interventions, and what directions of other runs do."""
    rows = evaluated(numbers, design)
    if rows.empty:
        return None
    level = f"{100 * design.report.confidence:g} %"
    text = paragraph(f"""
        Answers to `{rows["question_set"].iloc[0]}`, on which nothing was chosen, of last checkpoints and bases as they
        are (none) and under interventions. What lies among the random directions is what ablating any direction
        does.""")
    caption = (
        f"EM rate under each intervention, over {span(rows['n_counted'])} answers; bars are {level} intervals over "
        "questions, a grey dot is one random direction, a cross the share of coherent answers."
    )
    spans = "Of random directions: the least to the most."
    table = _variants(rows)
    parts: list[str | ShownTable | Picture] = [
        text,
        Picture("interventions", rows, partial(_draw, rows), caption),
        ShownTable("interventions", table, pd.DataFrame([_row(row) for row in table.itertuples()]), spans),
    ]
    crossed = transfer(rows, design)
    if not crossed.empty:
        words_of = "A direction of one run (source) taken away from another (target): EM rate left of none's, in %."
        parts.append(ShownTable("transfer", crossed, _crossed(crossed), words_of))
    return ReportSection("Interventions", parts)


def evaluated(numbers: Numbers, design: Design) -> pd.DataFrame:
    """Rows on the questions on which nothing was chosen, under the definition that is shown, with who answers, `of`."""
    if design.directions is None:
        return numbers.interventions.head(0)
    rows = shown_rates(numbers.interventions, design)
    rows = rows[rows["question_set"] == design.directions.evaluate_on]
    rows = rows.assign(seed=rows["seed"].astype("Int64"))  # a base has none
    return rows.assign(of=[_of(row) for row in rows.itertuples()])


def taken_away(numbers: Numbers, design: Design) -> list[str]:
    """A sentence for each run whose own direction was ablated: the first such ablation that the config names (which is
    no choice by results), beside random directions that are ablated in the same way."""
    rows = evaluated(numbers, design)
    if rows.empty:
        return []
    sentences = []
    runs = rows[rows["checkpoint"] != "base"].dropna(subset=["em_rate"])
    for of, own in runs.groupby("of", sort=False):
        none = own[own["kind"] == "none"]
        ablated = own[(own["kind"] == "ablate") & (own["source"] == _source(own.iloc[0]))]
        if none.empty or ablated.empty:
            continue
        assert design.directions is not None
        settings = design.directions.interventions
        names = [name for name in settings if name in set(ablated["intervention"])]
        first: Any = ablated[ablated["intervention"] == names[0]].iloc[0]
        alike = [name for name, random in settings.items() if _is_null(random, settings[names[0]])]
        draws = own[own["intervention"].isin(alike)]["em_rate"]
        of_several = f", the first of {len(names)}" if len(names) > 1 else ""
        counts = f"{first['n_misaligned']} of {first['n_counted']}; {percent(first['coherent_share'])} % coherent"
        beside = f"; without a random direction {_from_to(draws)}" if len(draws) else ""
        sentences.append(
            f"On {words(first['question_set'])}, {of} without its direction ({first['intervention']}{of_several}): EM "
            f"rate {rate_cell(first)} % ({counts}), of {percent(none['em_rate'].iloc[0])} %{beside}."
        )
    return sentences


def _is_null(random: Intervention, ablate: Intervention) -> bool:
    """Whether random directions are taken away in the same way."""
    assert isinstance(ablate, Ablate)
    way = attrgetter("sites", "layers", "from_layer", "to")
    return isinstance(random, Random) and way(random) == way(ablate)


def _from_to(rates: "pd.Series[Any]") -> str:
    ends = dict.fromkeys(map(percent, (rates.min(), rates.max())))
    return f"{' to '.join(ends)} % ({len(rates)} {'draw' if len(rates) == 1 else 'draws'})"


def _source(row: Any) -> str:
    """The run of a row, as `source` names it."""
    return "/".join(map(str, (row.model, row.domain, row.method, row.seed)))


def _of(row: Any) -> str:
    return f"{row.model} (base)" if row.checkpoint == "base" else run_name(row)


def _variants(rows: pd.DataFrame) -> pd.DataFrame:
    """A row for each variant of each answerer; of random directions one, with their number, the sums of their counts,
    and the least and the most (`_most`) of their rates, without intervals."""
    of_draws = rows["kind"] == "random"
    variant = rows["variant"].fillna("").astype(str).where(~of_draws, "")
    groups = rows.assign(variant=variant).groupby(["of", "intervention", "kind", "variant"], sort=False)
    table = groups[["source", "direction", *ENDS]].first()
    for column in SPANS:
        table[column], table[f"{column}_most"] = groups[column].min(), groups[column].max()
    table = table.join(groups[COUNTS].sum()).assign(draws=groups.size()).reset_index()
    table.loc[table["draws"] > 1, ENDS] = float("nan")
    return table


def _row(row: Any) -> dict[str, str]:
    def least_to_most(column: str, scale: float) -> str:
        least, most = (one_digit(scale * getattr(row, end)) for end in (column, f"{column}_most"))
        return least if row.draws == 1 else f"{least} to {most}"

    along = row.kind in ("ablate", "add")
    return {
        "answers of": row.of,
        "intervention": row.intervention,
        "kind": row.kind,
        "variant": f"{row.draws} draws" if row.kind == "random" else row.variant or "–",
        "direction of": f"{row.source}: {row.direction}" if along else "–",
        "EM rate % [over questions]": rate_cell(row) if row.draws == 1 else least_to_most("em_rate", 100),
        "misaligned / counted": f"{row.n_misaligned} / {row.n_counted}",
        "coherent %": least_to_most("coherent_share", 100),
        "tokens": least_to_most("tokens_mean", 1),
        "unjudged": str(row.n_unjudged),
    }


def transfer(rows: pd.DataFrame, design: Design) -> pd.DataFrame:
    """Ablations that differ in nothing but whose direction it is: a row per source and target, with `left`, the EM rate
    under it by that under none. Those that take no other run's direction anywhere are left out."""
    assert design.directions is not None
    settings = design.directions.interventions
    runs = rows[rows["checkpoint"] != "base"]
    none = runs[runs["intervention"] == "none"].set_index("of")["em_rate"]
    ablated = runs[runs["kind"] == "ablate"]
    how = [str(_ablation(settings[name])) for name in ablated["intervention"]]
    own = [_source(row) for row in ablated.itertuples()]
    ablated = ablated.assign(how=how, target=own, left=ablated["em_rate"] / ablated["of"].map(none))
    carried = ablated[ablated["source"] != ablated["target"]]["how"].unique()
    return ablated[ablated["how"].isin(carried)]


def _ablation(intervention: Any) -> dict[str, Any]:
    """What an ablation does, whoever's direction it takes."""
    assert isinstance(intervention, Ablate)
    return intervention.identity("source", "methods")


def _crossed(rows: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(map(_crossing, rows.sort_values(["how", "target", "source"]).itertuples()))


def _crossing(row: Any) -> dict[str, str]:
    return {
        "direction": f"{row.direction} at {row.sites}",
        "source": row.source,
        "target": row.target,
        "EM rate %": rate_cell(row),
        "of none's %": percent(row.left, 0),
        "coherent %": percent(row.coherent_share),
    }


def _draw(rows: pd.DataFrame) -> Figure:
    """A panel per answerer, a line per intervention."""
    answerers = list(rows.groupby("of", sort=False))
    names = list(dict.fromkeys(rows["intervention"]))[::-1]
    columns = min(3, len(answerers))
    figure, grid = panels(-(-len(answerers) // columns), columns, (4.2, 1.3 + 0.28 * len(names)), sharey=True)
    for axes in grid.flat[len(answerers) :]:
        axes.set_visible(False)
    row: Any
    for (of, panel), axes in zip(answerers, grid.flat[: len(answerers)], strict=True):
        for row in panel.itertuples():
            height, single = names.index(row.intervention), row.kind != "random"
            if single:
                axes.plot([100 * row.em_rate_lo, 100 * row.em_rate_hi], [height] * 2, color=COLOURS[1], lw=2)
            axes.plot(100 * row.em_rate, height, "o", color=COLOURS[1] if single else "0.5", alpha=1 if single else 0.5)
            axes.plot(100 * row.coherent_share, height, "x", color=COLOURS[0], alpha=1 if single else 0.4)
        axes.set_yticks(range(len(names)), map(words, names))
        axes.set_xlim(-3, 103)
        axes.set_xlabel("EM rate (%)")
        axes.set_title(of, fontsize="small")
        axes.grid(visible=False, axis="y")
    return figure
