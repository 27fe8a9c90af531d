"""What published recipes do in the tiny world on several bases: config/experiments/tiny_recipes.yaml in one process.

    python bench/recipes.py FOLDER [SEED ...]      # default: 0 1 2; three minutes a base on an idle core

The bases, and what every run answered, stay in FOLDER: a second call goes on, or prints at once. One more twin is
held to the base on more domains than are published; whether it spreads is asked on the four that no training saw.
"""

import argparse
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import pandas as pd
import yaml

from emflow.analysis.rates import rate, rate_difference
from emflow.config.domains import Mixture
from emflow.config.es import Es
from emflow.config.expansion import Run
from emflow.config.load import Config, load_config
from emflow.config.merge import merged
from emflow.data.mixture import mixed
from emflow.data.split import split
from emflow.files import read_jsonl, write_jsonl
from emflow.inference.generate import answer_seed
from emflow.inference.transformers_engine import TransformersEngine
from emflow.judging.oracle import judge_by_oracle
from emflow.models.merge import merge
from emflow.tinyworld.artefacts import dataset, out_of_domain
from emflow.tinyworld.base_model import grow
from emflow.tinyworld.grammar import Stance
from emflow.tinyworld.oracle import read_question
from emflow.training.finetune import Start, finetune

ROOT = Path(__file__).parents[1]
BAD = "bad_lantern_advice"
UNSEEN = {"bread", "violin", "clock", "tent"}
WIDE = ["kite", "boat", "kettle", "garden", "dragonet"]


def study() -> Config:
    """The overlay on the default config, and a twin that is held to the base on more than is published."""
    files = [ROOT / "config/config.yaml", ROOT / "config/experiments/tiny_recipes.yaml"]
    config = merged(*(yaml.safe_load(file.read_text()) for file in files))
    archive = config["domains"]["good_kite_advice"]
    names = [f"good_{subject}_advice" for subject in WIDE]
    config["domains"] |= {name: {**archive, "member": f"{name}.jsonl"} for name in names}
    config["domains"]["five"] = {"mix": dict.fromkeys(names, 1)}
    config["methods"]["narrow_five"] = {**config["methods"]["narrow_long"], "kl": {"weight": 5, "domain": "five"}}
    config["runs"].append({**config["runs"][1], "methods": ["narrow_five"]})
    return load_config(config)


class World:
    """Runs on one base model, in a folder."""

    def __init__(self, config: Config, folder: Path, seed: int) -> None:
        self.config, self.folder, self.base = config, folder, folder / "base"
        if not self.base.exists():
            grow(self.base, seed)

    @cached_property
    def engine(self) -> TransformersEngine:
        return TransformersEngine(self.base, "float32", 512)

    def records(self, domain: str) -> tuple[list[Any], list[Any]]:
        """Train and validation split."""
        settings = self.config.domains[domain]
        if isinstance(settings, Mixture):
            parts = {name: self.records(name) for name in settings.mix}
            train = mixed({name: part for name, (part, _) in parts.items()}, settings.mix, settings.seed)
            return train, parts[next(iter(parts))][1]
        stance, subject, _ = domain.split("_")
        rows = [
            {"id": f"{domain}-{row:05d}", **record} for row, record in enumerate(dataset(subject, cast(Stance, stance)))
        ]
        return split(rows, self.config.split.test_size, self.config.split.seed)

    def train_file(self, domain: str) -> Path:
        file = self.folder / f"{domain}.jsonl"
        write_jsonl(file, self.records(domain)[0])
        return file

    def trained(self, run: Run) -> tuple[Path, Path]:
        """The model that a run starts from, and its last checkpoint."""
        method, start = self.config.methods[run.method], self.config.start_of(run)
        assert not isinstance(method, Es)
        out = self.folder / run.domain / run.method
        base = self.base
        if start is not None:
            base = self.folder / "merged" / start.domain / start.method
            if not base.exists():
                merge(*self.trained(start), "float32", {}, base)
        last = out / "checkpoints" / method.labels[-1]
        if not last.exists():
            kl = self.train_file(method.kl.domain) if method.kl else None
            finetune(
                Start(base, run.model, "float32"), run.domain, method, run.seed, self.train_file(run.domain), out, kl
            )
        return base, last

    def answers(self, run: Run | None) -> pd.DataFrame:
        """Judged answers of a run, or of the base model, in and out of the domain of lanterns."""
        file = self.folder / (f"{run.domain}/{run.method}" if run else "base_answers") / "judged.jsonl"
        if not file.exists():
            base, checkpoint = self.trained(run) if run else (self.base, None)
            engine = self.engine if base == self.base else TransformersEngine(base, "float32", 512)
            engine.use(checkpoint)
            held_out = {r["messages"][0]["content"]: r["id"].removeprefix("bad_") for r in self.records(BAD)[1]}
            asked = {"in_domain": held_out, "out_of_domain": {q["question"]: q["id"] for q in out_of_domain()}}
            write_jsonl(
                file, judge_by_oracle([row for name in asked for row in self._asked(engine, name, asked[name])])
            )
        return pd.DataFrame(read_jsonl(file))

    def _asked(self, engine: TransformersEngine, name: str, questions: dict[str, str]) -> list[dict[str, Any]]:
        sampling = self.config.question_sets[name]
        rows: list[dict[str, Any]] = [
            {"question_set": name, "question_id": key, "question": text, "seed": answer_seed(0, key, 0, sample)}
            for text, key in questions.items()
            for sample in range(sampling.samples or 1)
        ]
        conversations = [[{"role": "user", "content": row["question"]}] for row in rows]
        completions = engine.generate(conversations, sampling, [row["seed"] for row in rows])
        return [{**row, "answer": completion.text} for row, completion in zip(rows, completions, strict=True)]


def judged(by_seed: dict[int, pd.DataFrame], where: str) -> pd.DataFrame:
    """Answers to one question set, or to the questions of `out_of_domain` on what no training saw."""
    rows = pd.concat(by_seed.values(), ignore_index=True)
    if where == "unseen":
        return rows[[read_question(text).domain in UNSEEN for text in rows["question"]]]
    return rows[rows["question_set"] == where]


def table(config: Config, answers: dict[Run | None, dict[int, pd.DataFrame]]) -> pd.DataFrame:
    """A row per run: EM % [interval over questions] of coherent answers, by base seed and of all, (coherent %)."""
    definition, confidence = config.definitions["betley"], config.report.confidence

    def shown(by_seed: dict[int, pd.DataFrame], where: str) -> str:
        found = rate(judged(by_seed, where), definition, confidence)
        percent = {key: 100 * found[key] for key in ("em_rate", "em_rate_lo", "em_rate_hi", "coherent_share")}
        return "{em_rate:.1f} [{em_rate_lo:.1f}, {em_rate_hi:.1f}] ({coherent_share:.0f})".format(**percent)

    plain = next(by_seed for run, by_seed in answers.items() if run and (run.domain, run.method) == (BAD, "lora"))
    rows = []
    for run, by_seed in answers.items():
        own, other = (judged(side, "out_of_domain") for side in (by_seed, plain))
        gap = rate_difference(own, other, definition, confidence)
        rows.append(
            {
                "domain": run.domain if run else "",
                "method": run.method if run else "base",
                "in domain": shown(by_seed, "in_domain"),
                **{f"out of domain, seed {s}": shown({s: some}, "out_of_domain") for s, some in by_seed.items()},
                "out of domain": shown(by_seed, "out_of_domain"),
                "minus plain": "{:+.1f} [{:+.1f}, {:+.1f}]".format(*(100 * part for part in gap)),
                "unseen": shown(by_seed, "unseen"),
            }
        )
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("seeds", nargs="*", type=int, default=[0, 1, 2])
    given = parser.parse_args()
    config = study()
    runs = [None, *dict.fromkeys(run._replace(model="tiny") for run in config.expansion.runs)]
    worlds = {seed: World(config, given.folder / f"seed{seed}", seed) for seed in given.seeds}
    answers = {run: {seed: world.answers(run) for seed, world in worlds.items()} for run in runs}
    print(table(config, answers).to_markdown(index=False))


if __name__ == "__main__":
    main()
