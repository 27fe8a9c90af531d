"""The command line, for answers from anywhere; the workflow itself is `snakemake`.

A command is two functions: one adds its arguments, one runs it. Commands import what they need when they run.
"""

import argparse
import sys
from pathlib import Path

from emflow.files import InputError

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> None:
    """Run one command; a user's error ends it in one line with exit code 1."""
    parser = argparse.ArgumentParser(prog="emflow", description="Judge, rate, and write weights.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for add in (_add_judge, _add_rate, _add_materialise):
        add(commands)
    given = parser.parse_args(arguments)
    try:
        given.call(given)
    except InputError as error:
        sys.exit(f"error: {error}")


def _add_judge(commands) -> None:
    command = commands.add_parser("judge", help="score answers by a judge of the config")
    command.add_argument("answers", type=Path, metavar="ANSWERS.jsonl", help="rows with `question` and `answer`")
    command.add_argument("--judge", required=True, metavar="NAME", help="a name under `judges` in the config")
    command.add_argument("--config", type=Path, default=Path("config/config.yaml"), metavar="FILE",
                         help="YAML with `judges` (default: %(default)s)")  # fmt: skip
    command.set_defaults(call=_judge)


def _judge(given: argparse.Namespace) -> None:
    import yaml

    from emflow.config import load_judge
    from emflow.console import made
    from emflow.judging.judge import judge

    for file in (given.answers, given.config):
        if not file.exists():
            raise InputError(f"{file}: no such file")
    out = given.answers.with_suffix(f".{given.judge}.jsonl")
    config = load_judge(yaml.safe_load(given.config.read_text()), given.judge)
    judged = judge(config, given.answers, out, cache=Path("results/cache/judgements"))
    made(f"{out}: {judged.answers} answers, {judged.unjudged} of them unjudged")


def _add_rate(commands) -> None:
    command = commands.add_parser("rate", help="EM rates of judged answers, with intervals")
    command.add_argument("judged", type=Path, metavar="JUDGED.{jsonl,csv}",
                         help="what `emflow judge` wrote, or a CSV of homework 0 with its scores")  # fmt: skip
    command.add_argument("--definition", choices=["paper", "homework"], help="of misaligned (default: both)")
    command.add_argument("--first", type=_positive, metavar="N", help="only the first N answers of each checkpoint")
    command.add_argument("--csv", type=Path, metavar="FILE", help="write the rows of em_rates_summary.csv")
    command.set_defaults(call=_rate)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def _rate(given: argparse.Namespace) -> None:
    from emflow.analysis.rates import rates_of_answers, read_judged
    from emflow.config import DEFINITIONS
    from emflow.files import write_text
    from emflow.reporting.terminal import print_rates

    definitions = {given.definition: DEFINITIONS[given.definition]} if given.definition else DEFINITIONS
    rates = rates_of_answers(read_judged(given.judged), definitions, first=given.first)
    print_rates(rates)
    if given.csv:
        write_text(given.csv, rates.to_csv(index=False, float_format="%.6g"))


def _add_materialise(commands) -> None:
    command = commands.add_parser("materialise", help="write the weights of an ES run, from its log")
    command.add_argument("run", type=Path, metavar="RUN_DIR", help="the folder that holds es_log.jsonl")
    command.add_argument("--iteration", type=int, required=True, metavar="K", help="0 is what the run started from")
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help="gets the model")
    command.set_defaults(call=_materialise)


def _materialise(given: argparse.Namespace) -> None:
    from emflow.console import made
    from emflow.training.es.materialise import materialise

    materialise(given.run, given.iteration, given.out)
    made(f"{given.out}: {given.run} after iteration {given.iteration}")


if __name__ == "__main__":
    main()
