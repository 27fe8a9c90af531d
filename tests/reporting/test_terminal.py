"""The table of rates: as wide as a terminal, and no number cut."""

import io
from contextlib import redirect_stdout

import pytest

from emflow.analysis.rates import KEYS
from emflow.reporting.terminal import print_rates

MEASURED = {"em_rate": 1.0, "em_rate_lo": 0.123456, "em_rate_hi": 1.0, "em_rate_all": 0.5, "n": 12000,
            "n_unjudged": 1100, "n_misaligned": 10011, "n_counted": 10022}  # fmt: skip


def printed(*names: dict) -> str:
    import pandas as pd

    rates = pd.DataFrame([{**dict.fromkeys(KEYS), "judge": "[b]gold[/b]", "n": 0, **row, **MEASURED} for row in names])
    with redirect_stdout(io.StringIO()) as out:
        print_rates(rates)
    return out.getvalue()


@pytest.mark.parametrize("columns", ["80", "20", None])
def test_numbers_are_whole_in_a_pipe_and_names_are_folded(monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns) if columns else monkeypatch.delenv("COLUMNS", raising=False)
    names = [
        {"model": 3 * f"a-long-name-{m}/", "step": step, "definition": "betley"} for m in "xy" for step in (0, 1000)
    ]
    shown = printed(*names)
    assert all(len(line) <= 80 for line in shown.splitlines()), shown
    for number in ("100.0", "12.3–100.0", "10011 / 10022", "50.0", "1100 of 12000"):
        assert shown.count(number) >= 4
    assert "…" not in shown and "[b]gold[/b]" in shown and "1000" in shown


def test_with_many_names_the_table_is_wider_before_a_number_is_cut():
    shown = printed(*({key: f"{key}-{n}" for key in KEYS} for n in range(2)))
    assert shown.count("10011 / 10022") == 2 and "…" not in shown
