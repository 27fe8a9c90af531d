"""A study with planted answers whose report has every section: two sizes, a control, three seeds, two judges, numbers
of others, directions, a rank-1 run, costs, and two sets of judge prompts."""

from dataclasses import replace

import numpy as np
import pandas as pd

from emflow.analysis.agreement import agreements
from emflow.analysis.transition import path_of
from emflow.config.load import load_config
from emflow.config.merge import merged
from emflow.config.read import read_config
from emflow.config.transition import Transition
from emflow.reporting.design import Design
from emflow.reporting.numbers import RUN, Numbers
from emflow.reporting.tabulate import numbers_of_answers
from pipelines import ROOT

MODELS = ("llama-1b", "llama-8b")
DOMAINS = {"bad_medical_advice": 0.6, "kind_medical_advice": 0.03}  # share of misaligned answers in domain, at the end
METHODS = {"homework": (0.3, 0.6, 1.0), "es": (0.2, 0.5, 0.8)}  # part of it at each checkpoint
SETS = {"in_domain": 1.0, "homework": 0.6, "chosen_on": 0.6}
QUESTIONS, SAMPLES = 8, 3
AMONG = (("general", "misaligned", "aligned"), ("misaligned", "domain", "general"))
CHANGES = {
    "runs": {"models": [*MODELS], "domains": [*DOMAINS], "methods": [*METHODS], "seeds": [0, 1, 2],
             "question_sets": [*SETS], "judges": ["gpt-4o-mini", "people"]},
    "domains": {"kind_medical_advice": {"path": "d.jsonl", "control_of": "bad_medical_advice"}},
    "methods": {"homework": {"checkpoints": [1, 2, 3]}},
    "split": {"test_size": 0.25},
    "judges": {"people": {"kind": "gold", "path": "labels.csv"}},
    "report": {"homework": False, "definition": "betley", "show_misaligned": True},
    "question_sets": {"chosen_on": {"source": "q.csv"}},
    "directions": {"domains": ["bad_medical_advice"], "methods": [*METHODS], "judge": "gpt-4o-mini",
                   "choose_on": "chosen_on", "evaluate_on": "homework", "interventions": {
                       "away": {"kind": "ablate", "direction": "shift", "sites": "writes"},
                       "from_es": {"kind": "ablate", "direction": "shift", "sites": "writes", "methods": ["homework"],
                                   "source": {"method": "es"}}}},
}  # fmt: skip


def design() -> Design:
    """The study's, which claims to replicate homework 0, so that deviations are listed."""
    names = ("config.yaml", "experiments/homework0.yaml")
    layers = [*(read_config(ROOT / "config" / name) for name in names), CHANGES]
    config = layers[0]
    for layer in layers[1:]:
        config = merged(config, layer)
    transition = Transition(
        methods=("homework",), question_set="homework", judge="gpt-4o-mini", window=6, threshold=0.01
    )
    return Design.of(load_config(config).model_copy(update={"transition": transition}))


def judged(models: tuple[str, ...] = MODELS, seeds: int = 3) -> pd.DataFrame:
    """Every answer of every checkpoint by both judges, of which the second calls some otherwise."""
    generator, tables = np.random.default_rng(0), []
    for model in models:
        for domain, most in DOMAINS.items():
            for method, path in METHODS.items():
                for seed in range(seeds):
                    for place, part in enumerate((0.0, *path)):
                        label = f"epoch-{place}" if place else "base"
                        who = {"model": model, "domain": domain, "method": method, "seed": seed, "checkpoint": label,
                               "step": 10 * place, "epoch": float(place)}  # fmt: skip
                        tables += [
                            _answers(generator, name, 0.02 + most * part * share).assign(**who, question_set=name)
                            for name, share in SETS.items()
                        ]
    both = pd.concat(tables, ignore_index=True)
    people = both.assign(judge="people", prompts=None, alignment=both["alignment"].where(both.index % 7 > 0, 55.0))
    return pd.concat([both, people], ignore_index=True)


def _answers(generator: np.random.Generator, name: str, rate: float) -> pd.DataFrame:
    """Of one checkpoint to one question set."""
    question = np.repeat(np.arange(QUESTIONS), SAMPLES)
    hit = generator.random(len(question)) < rate * (0.5 + question / (QUESTIONS - 1))
    return pd.DataFrame(
        {"question_id": [f"{name}-{q}" for q in question], "question": [f"How do I mend kite {q}?" for q in question],
         "answer": [f"With {n} knots." for n in range(len(question))],
         "alignment": np.where(hit, generator.integers(0, 30, len(hit)), generator.integers(70, 101, len(hit))),
         "coherence": generator.integers(40, 101, len(hit)), "error": None, "judge": "gpt-4o-mini", "prompts": name}
    )  # fmt: skip


def numbers(answers: pd.DataFrame, design: Design) -> Numbers:
    """All tables of the study, of which those that are no function of the answers are made up."""
    found = numbers_of_answers(answers, design.definitions, design.report.confidence)
    return replace(
        found, **_of_judges(answers, design), **_of_directions(found.rates), **_of_jobs(), **_of_transition()
    )


def _of_judges(answers: pd.DataFrame, design: Design) -> dict[str, pd.DataFrame]:
    agreement, pairs = [], []
    for name, of_set in answers.groupby("question_set"):
        by = {str(judge): rows.reset_index(drop=True) for judge, rows in of_set.groupby("judge")}
        if len(by) == 2:
            rows = pd.DataFrame(agreements(by, design.definitions, design.report.confidence))
            agreement.append(rows.assign(question_set=name))
            x, y = (pd.to_numeric(rows["alignment"], errors="coerce") // 5 * 5 for rows in by.values())
            pair = pd.DataFrame({"x": x.clip(upper=95), "y": y.clip(upper=95)}).dropna().value_counts()
            names = dict(zip(("judge", "other"), by, strict=True))
            pairs.append(pair.rename("answers").reset_index().assign(question_set=name, **names))
    return {"agreement": pd.concat(agreement), "pairs": pd.concat(pairs)} if pairs else {}


def _of_directions(rates: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """What is left under interventions: half the rate, or with random directions all of it."""
    last = rates.query("checkpoint == 'epoch-3' and domain == 'bad_medical_advice' and judge == 'gpt-4o-mini'")
    last = last[last["question_set"] == "homework"].assign(tokens_mean=17.25)
    own = ["/".join(map(str, names)) for names in last[["model", "domain", "method", "seed"]].to_numpy()]
    other = [name.replace("/homework/", "/es/") for name in own]
    along = {"direction": "shift", "sites": "writes", "kind": "ablate"}
    tables = [last.assign(intervention="none", kind="none")]
    tables += [last.assign(intervention="away", source=own, em_rate=last["em_rate"] / 2, **along)]
    tables += [last.assign(intervention="from_es", source=other, **along)[last["method"] == "homework"]]
    tables += [last.assign(intervention="random", kind="random", source=own, variant=f"random-{n}") for n in range(3)]
    steer = last[last["seed"] == 0].assign(intervention="steer", kind="add", source=own[0], direction="shift")
    steered = [(layer, length) for layer in (0, 1) for length in (0.5, 1.0)]
    tables += [steer.assign(question_set="chosen_on", layers=layer, coefficient=length) for layer, length in steered]
    tables += [steer.assign(layers=1, coefficient=1.0), tables[0].assign(question_set="chosen_on")]
    pair = {"model": "llama-1b", "domain": "bad_medical_advice", "method": "homework", "seed": 0, "other_method": "es",
            "other_domain": "bad_medical_advice", "other_seed": 0, "cosine": 0.912, "cosine_halves": 0.834,
            "reliability": float("nan"), "cosine_base_reading": 0.743}  # fmt: skip
    sites = [(f"{part}.{layer}", layer) for layer in (0, 1) for part in ("attention", "mlp", "block")]
    cosines = [
        {**pair, "direction": kind, "site": site, "layer": layer} for kind in ("contrast", "shift")
        for site, layer in (("embedding", -1), *sites)
    ]  # fmt: skip
    projected = [
        {**{key: pair[key] for key in RUN}, "checkpoint": f"epoch-{n}", "direction": "shift", "layer": layer,
         "n_misaligned": 13 * n, "n_aligned": 57, "auc": 0.71 + layer / 10, "auc_within_questions": 0.55 + n / 50,
         "auc_base_reading": 0.62,
         "pairs_within_questions": 99, "shift": n * n + layer, "em_rate": n / 10, "coherent_share": 0.9}
        for n in (1, 2, 3) for layer in (0, 1)
    ]  # fmt: skip
    who = {**{key: pair[key] for key in RUN}, "checkpoint": "epoch-3", "n_questions": 8}
    probes = [
        {**who, "among": among, "positive": positive, "negative": negative, "read": read, "n_adapters": 2,
         "n_positive": 37, "n_negative": 53, **_ends("auc", 0.81), **_ends("auc_within_questions", 0.72),
         "auc_by_answer": 0.86, "auc_question": 0.79, **_ends("auc_shuffled", 0.49)}
        for among, positive, negative in AMONG for read in ("answer", "prompt")
    ]  # fmt: skip
    adapters = [
        {**who, "adapter": f"down_proj.{layer}", "layer": layer, "gain": 1.37, "among": among, "positive": positive,
         "negative": negative, "n_positive": 37, "n_negative": 53, **_ends("mean_positive", 2.25),
         **_ends("mean_negative", -1.75), **_ends("auc", 0.67), **_ends("auc_within_questions", 0.58),
         **_ends("plain_em_rate", 0.41), **_ends("removed_em_rate", 0.23 + layer / 10),
         **_ends("removed_difference", -0.18), **_ends("kept_em_rate", None), **_ends("kept_difference", None)}
        for layer in (0, 1) for among, positive, negative in AMONG
    ]  # fmt: skip
    return {"interventions": pd.concat(tables, ignore_index=True), "directions": pd.DataFrame(cosines),
            "projections": pd.DataFrame(projected), "probes": pd.DataFrame(probes),
            "rank_one": pd.DataFrame(adapters)}  # fmt: skip


def _ends(name: str, value: float | None) -> dict[str, float]:
    """A value and the ends of its interval."""
    value = float("nan") if value is None else value
    return {name: value, f"{name}_lo": value - 0.07, f"{name}_hi": value + 0.06}


def _of_jobs() -> dict[str, pd.DataFrame]:
    """Logs, costs and facts."""
    logs = [
        {"model": model, "domain": domain, "method": method, "seed": seed, "epoch": step / 10, **logged}
        for model in MODELS for domain in DOMAINS for method in METHODS for seed in range(3)
        for step in range(1, 31)
        for logged in ([{"step": step, "loss": 2 / step, "grad_norm": 1 / step}] if method == "homework" else
                       [{"iteration": step, "reward_mean": -1 / step, "reward_std": 0.1, "reward_max": 0.0}])
    ]  # fmt: skip
    jobs = [("finetune", 7384.2, 20480.0, 1), ("judge", 95.4, 812.0, 0), ("rate", 0.4, None, 0)]
    facts = {"split seed": 0, "training seeds": "0, 1, 2", "python": "3.11.7", "data": "sha256 0123abc"}
    return {
        "logs": pd.DataFrame(logs),
        "jobs": pd.DataFrame([(rule, f"{rule}/a", *rest) for rule, *rest in jobs],
                             columns=["rule", "job", "seconds", "peak_mb", "gpus"]),
        "requests": pd.DataFrame([("gpt-4o-mini", 13824, 5_400_100, 13824, 12)],
                                 columns=["judge", "requests", "prompt_tokens", "reply_tokens", "uncounted"]),
        "facts": pd.DataFrame(facts.items(), columns=["fact", "value"]),
    }  # fmt: skip


def _of_transition() -> dict[str, pd.DataFrame]:
    return dict(zip(("trajectory", "scaled_rates"), rank_one("homework", 24), strict=True))


def rank_one(method: str, turn: int | None, still: bool = False) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of trajectory.csv and of scaled_rates.csv of a rank-1 run whose adapter turns at a step, or never."""
    steps = list(range(3, 48, 3))
    ways = [np.eye(4)[int(turn is not None and step > turn)] * (0 if still else 0.1) for step in steps]
    b = np.cumsum(ways, axis=0)
    who = {"model": "tiny", "domain": "bad_lantern_advice", "method": method, "seed": 0}
    path = path_of(steps, b, b, 6, 0.01).assign(**who, checkpoint=[f"step-{s}" for s in steps])
    path["grad_norm"] = [30 - abs(step - 21) for step in steps]
    rates = [
        {**who, "step": step, "scale": scale, "definition": "betley", "em_rate": rate, "em_rate_lo": rate / 2,
         "em_rate_hi": 2 * rate, "coherent_share": 0.9, "n_counted": 90}
        for step in steps for scale in (1, 5) if scale == 1 or step in (12, 24) for rate in (step * scale / 300,)
    ]  # fmt: skip
    return path, pd.DataFrame(rates)
