"""Figures of many runs: a look per recipe, means above twelve lines in a panel, intervals of at most six."""

from itertools import combinations, product

import pandas as pd
import pytest

from emflow.config.definitions import DEFINITIONS
from emflow.reporting.design import Design
from emflow.reporting.numbers import Numbers
from emflow.reporting.section import Picture
from emflow.reporting.sections.questions import questions
from emflow.reporting.sections.trajectories import trajectories
from emflow.reporting.style import Style, lines_of, panels, percent_axis, save
from emflow.reporting.tabulate import numbers_of_answers

DESIGN = Design(control_of={"kind": "bad"})


def rates(domains: int, methods: int, seeds: int) -> pd.DataFrame:
    """Of each run three checkpoints; the rate says which seed it is."""
    runs = product([f"domain{n}" for n in range(domains)], [f"method{n}" for n in range(methods)], range(seeds))
    return pd.DataFrame(
        {"model": "kite", "domain": domain, "method": method, "seed": seed, "checkpoint": f"step-{step}",
         "step": step, "epoch": step / 2, "question_set": "free", "judge": "oracle", "definition": "betley",
         "em_rate": seed / 10, "em_rate_lo": 0.0, "em_rate_hi": 0.9, "coherent_share": 0.9, "n_counted": 10}
        for domain, method, seed in runs for step in (0, 1, 2)
    )  # fmt: skip


@pytest.mark.parametrize(
    ("domains", "methods", "seeds", "lines", "with_intervals"),
    [(1, 1, 1, 1, True), (1, 3, 2, 6, True), (1, 7, 1, 7, False), (2, 3, 2, 12, False), (2, 3, 3, 6, False),
     (13, 1, 1, 13, False)],
)  # fmt: skip
def test_lines_of_a_panel(domains, methods, seeds, lines, with_intervals):
    drawn = list(lines_of(rates(domains, methods, seeds), "epoch"))
    assert len(drawn) == lines
    assert all(line["em_rate_lo"].notna().all() == with_intervals for *_, line in drawn)
    if lines < domains * methods * seeds:  # means over seeds 0, 1, 2
        assert all(line["em_rate"].tolist() == pytest.approx([0.1] * 3) for *_, line in drawn)


def test_a_look_per_recipe_which_its_control_shares():
    runs = pd.DataFrame(product(("bad", "kind", "worse"), ("lora", "es")), columns=["domain", "method"])
    style = Style(DESIGN, runs)
    looks = {pair: style.of(*pair) for pair in runs.itertuples(index=False, name=None)}
    told = {(look["color"], look["marker"]) for (domain, _), look in looks.items() if domain != "kind"}
    assert len(told) == 4, "colour and marker tell four recipes apart, in grey the marker alone"
    assert len({look["marker"] for look in looks.values()}) == 4
    bad, control = looks["bad", "es"], looks["kind", "es"]
    assert (bad["color"], bad["marker"]) == (control["color"], control["marker"])
    assert (bad["linestyle"], control["linestyle"], control["markerfacecolor"]) == ("-", "--", "white")


def test_a_legend_names_each_recipe_once_however_many_runs_there_are():
    numbers = Numbers(rates(2, 3, 6))
    picture = next(part for part in trajectories(numbers, DESIGN).parts if isinstance(part, Picture))
    figure = picture.draw()
    (legend,) = figure.legends
    names = [text.get_text() for text in legend.get_texts()]
    assert len(names) == len(set(names)) == 6 and len(figure.axes[0].lines) == 6


def test_heat_maps_show_the_highest_and_say_so():
    judged = pd.DataFrame(
        {"model": "kite", "domain": f"domain{domain}", "method": "lora", "checkpoint": "last", "step": 9,
         "question_id": f"q{q}", "question": f"why {q}?", "answer": "so", "coherence": 90, "error": None,
         "alignment": 10 if (q * domain) % 45 > 30 else 90}
        for domain in range(45) for q in range(30)
    )  # fmt: skip
    section = questions(numbers_of_answers(judged, DEFINITIONS, 0.95), DESIGN)
    heat, scores = (part for part in section.parts if isinstance(part, Picture))
    assert (heat.data["name"].nunique(), heat.data["question"].nunique()) == (40, 24)
    assert "those with the highest, darker" in heat.caption and "(those with the highest EM rate)" in scores.caption
    assert scores.data["name"].nunique() == 40


def test_titles_and_labels_of_neighbours_do_not_overlap(tmp_path):
    figure, grid = panels(2, 3, (4.4, 3.2), sharey=True)
    for axes in grid.flat:
        percent_axis(axes)
        axes.set_title("llama-3.1-8b-instruct: first plot json")
        axes.set_xlabel("epochs trained")
    save(figure, pd.DataFrame({"x": [1]}), tmp_path / "figure")
    titles = [axes.title.get_window_extent() for axes in grid.flat]
    labels = [axes.xaxis.label.get_window_extent() for axes in grid.flat]
    for one, other in combinations([*titles, *labels], 2):
        assert not one.overlaps(other)
