"""The report: `summary.md`, `headline.txt`, `em_rates_summary.csv` and the figures."""

from pathlib import Path

import pandas as pd

from emflow.analysis.rates import rate_difference
from emflow.config import Config, Run
from emflow.files import digest, replacing, write_text
from emflow.reporting.agreement import agreement_tables, draw_agreement, judged_answers
from emflow.reporting.examples import answers_of, answers_side_by_side
from emflow.reporting.figures import draw_forest, draw_training, draw_trajectories
from emflow.reporting.matched import matched
from emflow.reporting.provenance import cost_table, judge_table, stack, write_report_provenance
from emflow.reporting.style import Style

__all__ = ["write_report"]


def write_report(config: Config, results: Path, out: Path) -> None:
    """Write the whole report to the folder `out` from the run folders under `results`; the summary comes last."""
    runs = config.expand()
    rates = pd.concat([pd.read_csv(results.parent / run.folder / "rates.csv") for run in runs], ignore_index=True)
    logs = {run: pd.read_json(results.parent / run.folder / "train_log.jsonl", lines=True) for run in runs}
    shown = rates[rates["definition"] == config.report.definition]
    last = _last_and_base(config, shown)
    differences = _differences(config, results, runs)
    answers = judged_answers(config, results)

    write_text(out / "em_rates_summary.csv", rates.to_csv(index=False, float_format="%.6g"))
    style = Style(config)
    with replacing(out / "figures") as folder:
        folder.mkdir()
        for judge, of_judge in shown.groupby("judge", sort=False):
            draw_trajectories(of_judge, style, folder / f"trajectories.{judge}.png")
            draw_forest(last[last["judge"] == judge], style, folder / f"rates.{judge}.png")
        draw_training(logs, style, folder / "training.png")
        for question_set, judged in answers.items():
            title, drawn = question_set.replace("_", " "), folder / f"agreement.{question_set}.png"
            draw_agreement(judged, config.definitions[config.report.definition], title, drawn)
    headline = _headline(config, last, differences)
    write_report_provenance(config, results, out / "provenance.json")
    write_text(out / "headline.txt", headline + f"\nReport: {out / 'summary.md'}\n")
    write_text(out / "summary.md", _summary(config, results, rates, last, differences, answers, headline))


def _last_and_base(config: Config, shown: pd.DataFrame) -> pd.DataFrame:
    """Every run's last checkpoint and its base, with a `name` to print; a base that several runs share stands once."""
    held_out = [name for name, questions in config.question_sets.items() if questions.source == "validation"]
    base = shown[shown["checkpoint"] == "base"]
    own = base["question_set"].isin(held_out)  # the domain's own questions, so a rate per domain
    base = base.assign(name=base["model"] + " (base)" + (" on " + base["domain"]).where(own, ""))
    base = base.drop_duplicates(["name", "question_set", "judge", "definition"])
    runs = shown.groupby(["model", "domain", "method", "seed", "question_set", "judge", "definition"])
    last = shown.loc[runs["step"].idxmax()]
    names = [f"{row.model} · {row.domain} · {row.method} · seed {row.seed}" for row in last.itertuples()]
    return pd.concat([base, last.assign(name=names)], ignore_index=True)


def _differences(config: Config, results: Path, runs: list[Run]) -> pd.DataFrame:
    """EM rate of every run minus that of its control, last checkpoints, with intervals."""
    report, rows = config.report, []
    controls = {domain.control_of: name for name, domain in config.domains.items() if domain.control_of}
    for run in runs:
        twin = run._replace(domain=controls.get(run.domain, ""))
        if twin not in runs:
            continue
        label = config.methods[run.method].labels[-1]
        for question_set in config.runs.question_sets:
            for judge in config.runs.judges:
                sides = [pd.DataFrame(answers_of(results, side, label, question_set, judge)) for side in (run, twin)]
                difference, low, high = rate_difference(
                    *sides, config.definitions[report.definition], report.confidence
                )
                rows.append({**run._asdict(), "control": twin.domain, "checkpoint": label, "question_set": question_set,
                             "judge": judge, "difference": difference, "lo": low, "hi": high})  # fmt: skip
    return pd.DataFrame(rows)


def _percent(value: float, digits: int = 1) -> str:
    return "–" if pd.isna(value) else f"{100 * value:.{digits}f}"


def _rate(row: pd.Series) -> str:
    return f"{_percent(row.em_rate)} % [{_percent(row.em_rate_lo)}, {_percent(row.em_rate_hi)}]"


def _headline(config: Config, last: pd.DataFrame, differences: pd.DataFrame) -> str:
    """One line per run and question set: what the numbers say, with intervals and denominators."""
    lines = []
    for (question_set, judge), rows in last.groupby(["question_set", "judge"], sort=False):
        lines.append(f"EM rate, {question_set} ({config.report.definition} definition, judge {judge}):")
        for row in rows.itertuples():
            line = (
                f"  {row.name:<50} {_rate(row)}  ({row.n_misaligned} of {row.n_coherent} coherent answers, n = {row.n})"
            )
            lines.append(line)
        gaps = (
            differences if differences.empty else differences.query("question_set == @question_set and judge == @judge")
        )
        for gap in gaps.itertuples():
            points = f"{100 * gap.difference:+.1f} points [{100 * gap.lo:+.1f}, {100 * gap.hi:+.1f}]"
            lines.append(f"  {gap.domain} minus {gap.control}, {gap.method}, seed {gap.seed}: {points}")
    return "\n".join(lines)


def _rates_table(last: pd.DataFrame) -> str:
    table = pd.DataFrame(
        {
            "question set": last["question_set"],
            "judge": last["judge"],
            "model, domain, method": last["name"],
            "checkpoint": last["checkpoint"],
            "EM rate % [interval]": [_rate(row).replace(" %", "") for row in last.itertuples()],
            "misaligned / coherent": [f"{row.n_misaligned} / {row.n_coherent}" for row in last.itertuples()],
            "of all judged %": last["em_rate_all"].map(_percent),
            "coherent %": last["coherent_share"].map(_percent),
            "mean alignment": last["alignment_mean"].map("{:.1f}".format),
            "refusals, code": [f"{row.n_refusal}, {row.n_code}" for row in last.itertuples()],
            "unjudged": [f"{row.n_unjudged} of {row.n}" for row in last.itertuples()],
        }
    )
    return table.sort_values(["question set", "judge"], kind="stable").to_markdown(index=False, disable_numparse=True)


def _definitions_table(config: Config, rates: pd.DataFrame) -> str:
    """The last checkpoints under every EM definition."""
    last = _last_and_base(config, rates)
    last["cell"] = [_rate(row).replace(" %", "") for row in last.itertuples()]
    keys = ["question_set", "judge", "name", "checkpoint"]
    wide = last.pivot_table(index=keys, columns="definition", values="cell", aggfunc="first", sort=False).reset_index()
    return wide.to_markdown(index=False, disable_numparse=True)


def _provenance(config: Config, results: Path) -> str:
    data = {
        f"train split of {domain}": f"sha256 {digest(results / 'data' / domain / 'train.jsonl')}"
        for domain in config.runs.domains
    }
    models = {f"model {name}": f"{m.path} at {m.revision or 'local files'}" for name, m in config.models.items()}
    seeds = {
        "split seed": config.split.seed,
        "training seeds": ", ".join(map(str, config.runs.seeds)),
        "sampling seeds": ", ".join(f"{name}: {config.question_sets[name].seed}" for name in config.runs.question_sets),
    }
    facts = {**models, **data, **seeds, **stack()}
    return "\n".join(["| | |", "|---|---|", *(f"| {key} | {value} |" for key, value in facts.items())])


def _summary(
    config: Config,
    results: Path,
    rates: pd.DataFrame,
    last: pd.DataFrame,
    differences: pd.DataFrame,
    answers: dict[str, dict[str, pd.DataFrame]],
    headline: str,
) -> str:
    report = config.report
    definition = config.definitions[report.definition]
    above = definition.coherence_above
    rule = f"alignment < {definition.alignment_below:g}" + ("" if above is None else f" and coherence > {above:g}")
    figures = "\n\n".join(
        f"![EM rate over training, judge {judge}](figures/trajectories.{judge}.png)\n\n"
        f"![EM rate of last checkpoints, judge {judge}](figures/rates.{judge}.png)"
        for judge in config.runs.judges
    )
    return f"""# How far the misalignment spreads

```
{headline}
```

An answer is **misaligned** under the `{report.definition}` definition if {rule}. The EM rate is over coherent
answers; the share of all judged answers is printed beside it. Brackets are {100 * report.confidence:g} % intervals that
count questions, not answers: answers to one question are alike.

## Last checkpoints

{_rates_table(last)}

## Trajectories

{figures}

![training loss](figures/training.png)

Every checkpoint, question set, judge and definition: [em_rates_summary.csv](em_rates_summary.csv).

## Against the control

EM rate on the domain minus EM rate on its control, in points; paired by the questions that both answered.

{_differences_table(differences)}

## At matched in-domain EM

{_matched_table(matched(config, rates[rates["definition"] == report.definition]))}

## Under every definition

{_definitions_table(config, rates)}

## How far the judges agree

{_agreement(config, answers)}

## Answers side by side

{answers_side_by_side(config, results)}

## What it cost

{cost_table(results)}

Wall time of each finished job's last start; GPU hours count jobs that computed on a GPU.

{judge_table(results)}
## How this was made

Everything, for every run: [provenance.json](provenance.json).

{_provenance(config, results)}
"""


def _differences_table(differences: pd.DataFrame) -> str:
    if differences.empty:
        return "No domain of these runs has a control (`domains.NAME.control_of`)."
    table = differences.drop(columns=["difference", "lo", "hi"]).assign(
        points=[f"{100 * d.difference:+.1f} [{100 * d.lo:+.1f}, {100 * d.hi:+.1f}]" for d in differences.itertuples()]
    )
    return table.rename(columns={"question_set": "question set"}).to_markdown(index=False)


def _agreement(config: Config, answers: dict[str, dict[str, pd.DataFrame]]) -> str:
    if not answers:
        return "There is one judge; name another under `runs.judges` to see how far two agree on the same answers."
    figures = "\n\n".join(f"![agreement on {name}](figures/agreement.{name}.png)" for name in answers)
    return (
        "Over the answers of all runs and bases that both judges judged. Differences are in points of 0..100; kappa "
        "(Cohen 1960) is agreement on misaligned or not, beyond chance.\n\n"
        f"{agreement_tables(config, answers)}\n\n{figures}"
    )


def _matched_table(rows: pd.DataFrame) -> str:
    if rows.empty:
        return "Nothing to match: it takes two methods, and a question set with the source `validation`."
    table = rows[["model", "domain", "seed", "judge"]].assign(
        **{"in-domain level %": rows["target"].map(_percent)},
        method=rows["method"],
        checkpoint=rows["checkpoint"],
        **{"question set": rows["question_set"]},
        **{"EM rate % [interval]": [_rate(row).replace(" %", "") for row in rows.itertuples()]},
        **{"coherent %": rows["coherent_share"].map(_percent)},
    )
    return (
        "Every method at the checkpoint whose in-domain EM rate is nearest to the level that all methods reach.\n\n"
        + table.to_markdown(index=False, disable_numparse=True)
    )
