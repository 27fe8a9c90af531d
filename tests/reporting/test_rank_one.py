"""What the report says of rank-1 adapters."""

import pandas as pd
import pytest

import planted
from emflow.reporting.numbers import Numbers
from emflow.reporting.section import Picture, ShownTable
from emflow.reporting.sections.rank_one import rank_one
from emflow.reporting.style import plt


@pytest.fixture(scope="module")
def made() -> dict[str, pd.DataFrame]:
    found = planted._of_directions(planted.numbers(planted.judged(("llama-1b",), 1), planted.design()).rates)
    return {name: found[name] for name in ("probes", "rank_one")}


@pytest.fixture(scope="module")
def section(made):
    return rank_one(Numbers(pd.DataFrame(), **made), planted.design())


def test_a_row_per_probe_and_per_adapter(section):
    tables = {part.name: part.shown for part in section.parts if isinstance(part, ShownTable)}
    first = tables["probes"].iloc[0]
    assert first["answers"] == "misaligned or aligned, among general" and first["positive / negative"] == "37 / 53"
    assert first["questions held out"] == "0.81 [0.74, 0.87]" and first["the question alone"] == "0.79"
    adapters = tables["rank_one"].set_index("adapter")
    assert adapters["EM % without it"].loc[["down_proj.1"]].iloc[0] == "33.0 [26.0, 39.0]"
    assert set(adapters["EM % with it alone"]) == {"–"}


def test_bars_are_of_the_adapter_beside_them(section):
    (picture,) = (part for part in section.parts if isinstance(part, Picture))
    auc, removed, _ = (figure := picture.draw()).axes
    assert [label.get_text() for label in auc.get_yticklabels()] == ["down_proj.0", "down_proj.1"]
    assert [line.get_xdata()[0] for line in removed.lines if len(line.get_xdata()) == 2] == pytest.approx([-18, 0])
    assert auc.get_yticks()[0] == 1
    plt.close(figure)


def test_without_any_there_is_nothing_to_say():
    assert rank_one(Numbers(pd.DataFrame()), planted.design()) is None


def test_where_nothing_of_one_topic_is_told_apart_there_is_no_figure(made):
    between = {name: table.assign(among="misaligned") for name, table in made.items()}
    section = rank_one(Numbers(pd.DataFrame(), **between), planted.design())
    assert [type(part) for part in section.parts[1:]] == [ShownTable, ShownTable]
