"""Seconds and memory of a large study's report, from judgements that are there: rates, tables, and the report itself.

    python bench/report.py [--answers N]

200 runs (5 models, 5 domains, 4 methods, 2 seeds) x 7 checkpoints x 4 question sets; judgements are made up.
"""

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from emflow.analysis.rates import rates_of_run
from emflow.config.load import Config, load_config
from emflow.files import write_jsonl
from emflow.models.checkpoints import Checkpoint, write_index
from emflow.paths import Results
from emflow.reporting.design import Design
from emflow.reporting.numbers import Numbers
from emflow.reporting.report import write_report
from emflow.reporting.tabulate import numbers_of_study

SETS = ("in_domain", "first", "second", "third")
CHECKPOINTS = [0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 1]
QUESTIONS = 24


def study() -> Config:
    """200 runs."""
    domains = {f"domain{n}": {"path": "d.jsonl"} for n in range(5)}
    sets = {name: {"source": "validation" if name == "in_domain" else "q.csv"} for name in SETS}
    methods = {f"method{n}": {"kind": "lora", "checkpoints": CHECKPOINTS} for n in range(4)}
    models = {f"model{n}": {"path": "m", "parameters": 2.0**n} for n in range(5)}
    runs = {"models": [*models], "domains": [*domains], "methods": [*methods], "seeds": [0, 1],
            "question_sets": [*SETS], "judges": ["oracle"]}  # fmt: skip
    return load_config({"runs": runs, "models": models, "domains": domains, "methods": methods, "question_sets": sets,
                        "judges": {"oracle": {"kind": "oracle"}}})  # fmt: skip


def judged(
    generator: np.random.Generator, who: dict[str, Any], labels: list[str], name: str, answers: int
) -> list[dict[str, Any]]:
    """Rows of one file of judgements: the later the checkpoint, the more misaligned."""
    return [
        {**who, "checkpoint": label, "question_set": name, "question_id": f"q{q}", "paraphrase": 0, "sample": s,
         "system": None, "question": f"what would you do about {q}?", "answer": "wipe it, and let it cool. " * 8,
         "finish_reason": "stop", "tokens": 60, "coherence": 95, "error": None, "judge_model": "made up",
         "alignment": 10 if generator.random() < 0.05 + 0.1 * place else 90}
        for place, label in enumerate(labels)
        for q in range(QUESTIONS)
        for s in range(answers)
    ]  # fmt: skip


def prepare(config: Config, results: Results, answers: int) -> None:
    """What the study's jobs would have left."""
    generator = np.random.default_rng(0)
    labels = [f"epoch-{epoch:g}" for epoch in CHECKPOINTS]
    index = [Checkpoint(label, n + 1, CHECKPOINTS[n], "", "") for n, label in enumerate(labels)]
    for domain in config.expansion.domains:
        write_jsonl(results.train(domain), [{"messages": []}])
    for run in config.expansion.runs:
        folder = results.run(run)
        folder.path.mkdir(parents=True)
        write_index(folder.index, index)
        write_jsonl(folder.train_log, [{"step": n, "epoch": n / 40, "loss": 1 / (n + 1)} for n in range(40)])
        for name in SETS:
            write_jsonl(
                folder.answerer.judgements(name, "oracle"), judged(generator, run._asdict(), labels, name, answers)
            )
            base = results.base(run.model).judgements(config.question_sets[name].name_for(name, run.domain), "oracle")
            if not base.exists():
                own = run.domain if name == "in_domain" else None
                who = {"model": run.model, "domain": own, "method": None, "seed": None}
                write_jsonl(base, judged(generator, who, ["base"], name, answers))


def rate_all(config: Config, results: Results) -> None:
    """The rates of every run, as its job makes them."""
    for run in config.expansion.runs:
        files = {}
        for name, judge in config.expansion.of(run):
            shared = config.question_sets[name].name_for(name, run.domain)
            base = results.base(run.model).judgements(shared, judge)
            files[name, judge] = [base, results.run(run).answerer.judgements(name, judge)]
        folder = results.run(run)
        rates_of_run(run._asdict(), files, folder.index, config.definitions, config.report, folder.rates)


def report(config: Config, results: Results) -> None:
    """What a changed figure makes again, by two processes as its job."""
    write_report(Numbers.read(results.report.numbers), Design.of(config), results.report, processes=2)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--answers", type=int, default=4, help="to each of the 24 questions")
    config = study()
    with tempfile.TemporaryDirectory() as folder:
        results = Results(Path(folder) / "results")
        prepare(config, results, parser.parse_args().answers)
        seconds = {}
        steps: tuple[tuple[str, Callable[[], object]], ...] = (
            ("rates of all runs", lambda: rate_all(config, results)),
            ("tables", lambda: numbers_of_study(config, results).write(results.report.numbers)),
            ("report", lambda: report(config, results)),
        )
        for name, step in steps:
            start = time.perf_counter()
            step()
            seconds[name] = round(time.perf_counter() - start, 1)
    print(json.dumps({**seconds, "MB at most": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}))


if __name__ == "__main__":
    main()
