"""What the report says of rank-1 runs: where each turns, or that it does not."""

import pandas as pd
import pytest

from emflow.config.load import load_config
from emflow.config.merge import merged
from emflow.config.read import read_config
from emflow.paths import ReportFolder
from emflow.reporting.design import Design
from emflow.reporting.numbers import Numbers
from emflow.reporting.report import write_report
from emflow.reporting.section import ShownTable
from emflow.reporting.sections.transition import transition
from pipelines import ROOT
from planted import rank_one


@pytest.fixture(scope="module")
def design() -> Design:
    names = ("config.yaml", "experiments/tiny_phase_transition.yaml")
    return Design.of(load_config(merged(*(read_config(ROOT / "config" / name) for name in names))))


@pytest.fixture(scope="module")
def numbers() -> Numbers:
    runs = [rank_one("organisms", 24), rank_one("template", None), rank_one("still", None, still=True)]
    paths, rates = (pd.concat(tables, ignore_index=True) for tables in zip(*runs, strict=True))
    return Numbers(pd.DataFrame(), trajectory=paths, scaled_rates=rates)


def test_each_run_has_a_sentence_that_says_its_turn_or_that_there_is_none(numbers, design):
    turns, straight, still = transition(numbers, design).parts[1].splitlines()
    assert turns.endswith("organisms · seed 0: B turns at step 24, where its local cosine is 0.00 (median -1.00).")
    assert straight.endswith("template · seed 0: B does not turn; its local cosine is at most -1.00.")
    assert still.endswith("still · seed 0: B moves too little for a local cosine (`threshold: 0.01`).")


def test_tables_give_the_run_and_em_by_scale(numbers, design):
    section = transition(numbers, design)
    tables = {part.name: part.shown for part in section.parts if isinstance(part, ShownTable)}
    first, second, _ = tables["phase_transition"].to_dict("records")
    assert (first["B turns at step"], second["B turns at step"]) == ("24", "–")
    assert first["gradient norm is highest at step"] == "21" and first["highest"] == "15.0 at step 45"
    scaled = tables["scaled_rates"]
    assert list(scaled) == ["run", "step", "x1", "x5"] and set(scaled["step"]) == {"12", "24"}
    assert scaled["x5"].iloc[0] == "20.0 [10.0, 40.0] (90)"


def test_it_stands_in_the_report_and_elsewhere_nothing_does(numbers, design, tmp_path):
    from emflow.reporting import report as written

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(written, "SECTIONS", (transition,))
        write_report(numbers, design, ReportFolder(tmp_path))
    summary = (tmp_path / "summary.md").read_text()
    assert (tmp_path / "figures/phase_transition.png").read_bytes().startswith(b"\x89PNG")
    assert "## Phase transition" in summary and "(tables/scaled_rates.csv)" in summary
    assert transition(numbers, Design()) is None and transition(Numbers(pd.DataFrame()), design) is None


def test_the_end_is_the_last_checkpoint_and_a_handful_of_answers_is_no_peak(numbers, design):
    paths = numbers.trajectory
    last = paths["step"].max()
    one, nothing = numbers.scaled_rates["step"] == 45, numbers.scaled_rates["step"] == last
    rates = numbers.scaled_rates.copy()
    rates.loc[one & (rates["scale"] == 1), ["em_rate", "n_counted"]] = [1.0, 1]
    rates.loc[nothing & (rates["scale"] == 1), ["em_rate", "n_counted"]] = [float("nan"), 0]
    section = transition(Numbers(pd.DataFrame(), trajectory=paths, scaled_rates=rates), design)
    tables = {part.name: part.shown for part in section.parts if isinstance(part, ShownTable)}
    first = tables["phase_transition"].to_dict("records")[0]
    assert first["EM rate at the end %"] == "–" and not first["highest"].startswith("100")
