"""Of planted scalars: which adapter tells what, among which answers, and what is left of EM without it."""

from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from emflow.analysis.rank_one import Sets, write_rank_one
from emflow.config.directions import Extraction, RankOneReading
from emflow.files import write_sealed

WHO = {"model": "tiny", "domain": "bad", "method": "rank_one", "seed": 0, "checkpoint": "epoch-1"}
SETS = Sets(["in_domain"], "general")


@pytest.fixture(scope="module")
def tables(tmp_path_factory) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`down_proj.0` grows with misalignment, `down_proj.1` shrinks in the domain."""
    folder, rng = tmp_path_factory.mktemp("rank_one"), np.random.default_rng(0)
    rows = []
    for number, (name, question, sample) in enumerate(product(("general", "in_domain"), range(10), range(6))):
        score = [0, 100, 0, 100, 50, "REFUSAL"][sample]
        unjudged = (question, sample) == (0, 0)
        for layer, signal in ((0, 3 * (score == 0)), (1, -3 * (name == "in_domain"))):
            rows.append(
                {**WHO, "question_set": name, "question_id": f"q{question}", "paraphrase": 0, "sample": sample,
                 "number": number, "alignment": None if unjudged else score, "coherence": None if unjudged else 90,
                 "adapter": f"down_proj.{layer}", "layer": layer, "gain": 2.5,
                 **{read: signal + rng.normal() for read in ("answer", "peak", "prompt")}}
            )  # fmt: skip
    write_sealed(folder / "scalars.csv", pd.DataFrame(rows).to_csv(index=False))
    rates = [
        {**WHO, "question_set": name, "definition": "betley", "kind": kind, "layers": layer, "sites": None,
         "em_rate": 0.4 - 0.1 * (layer or 0), "em_rate_lo": 0.1, "em_rate_hi": 0.6,
         **{f"difference{end}": None if kind == "none" else -0.1 for end in ("", "_lo", "_hi")}}
        for name in ("general", "in_domain", "chosen_on")
        for kind, layer in (("none", None), ("without", 0), ("without", 1), ("only", 0))
    ]  # fmt: skip
    rates += [{**row, "kind": "scale", "layers": "all"} for row in rates[:1]]
    write_sealed(folder / "interventions.csv", pd.DataFrame(rates, dtype=object).to_csv(index=False))
    outs: list[Path] = [folder / "probes.csv", folder / "rank_one.csv"]
    count = write_rank_one(
        [folder / "scalars.csv"], folder / "interventions.csv", Extraction(),
        RankOneReading(question_sets=("general",), folds=3), SETS, "betley", 0.95, *outs,
    )  # fmt: skip
    assert count == 2
    return pd.read_csv(outs[0]), pd.read_csv(outs[1])


def test_what_is_compared_is_of_both_kinds(tables):
    probes, _ = tables
    assert list(probes["among"]) == [name for name in ("general", "domain", "misaligned", "aligned") for _ in range(3)]
    assert list(probes["read"])[:3] == ["answer", "peak", "prompt"] and set(probes["n_adapters"]) == {2}
    by = probes.set_index(["among", "read"])
    counts = by[["n_positive", "n_negative", "n_questions"]]
    # of 60 answers to a set 10 are in between, 10 refusals, one is unjudged
    assert tuple(counts.loc[("general", "answer")]) == (19, 20, 10)
    assert tuple(counts.loc[("misaligned", "answer")]) == (19, 19, 20)  # q0 of one set is not q0 of the other
    assert by["auc"].loc[("general", "answer")] > 0.9 and by["auc"].loc[("misaligned", "answer")] > 0.9
    assert by["auc_within_questions"].loc[("general", "answer")] > 0.9
    assert by.loc[("misaligned", "answer"), "auc_within_questions":"auc_within_questions_hi"].isna().all()


def test_each_adapter_alone_beside_what_it_does(tables):
    _, adapters = tables
    by = adapters.set_index(["adapter", "among"])
    tells = by.loc[("down_proj.0", "general")]
    assert tells["auc_lo"] > 0.9 and tells["mean_positive_lo"] > tells["mean_negative_hi"]
    assert by["auc_hi"].loc[("down_proj.1", "misaligned")] < 0.2  # it shrinks
    other = by.loc[("down_proj.1", "general")]
    assert other["auc_lo"] < 0.5 < other["auc_hi"]
    assert (tells["plain_em_rate"], tells["removed_em_rate"], tells["kept_em_rate"]) == (0.4, 0.4, 0.4)
    assert other["removed_em_rate"] == pytest.approx(0.3) and np.isnan(other["kept_em_rate"])
    assert other["removed_difference"] == pytest.approx(-0.1)
    assert by["removed_em_rate"].loc[("down_proj.1", "domain")] == pytest.approx(0.3)
    assert by["removed_em_rate"].loc[["down_proj.0", "down_proj.1"], ["misaligned", "aligned"]].isna().all()
