"""A Slurm site: its partitions, what fits them, and why a job of its queue never starts."""

import math
import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import yaml

from emflow.files import InputError, write_text

__all__ = [
    "BY_GRES",
    "Partition",
    "Request",
    "Site",
    "fitting",
    "never_starts",
    "read_partitions",
    "site",
    "usable_partitions",
    "write_partitions",
]

HEADER = """\
# Written by `emflow cluster` from what scontrol and sinfo say; take out what you may not use. A job goes to the fullest
# fit. Limits: max_runtime (minutes), max_mem_mb, max_threads, max_gpu, ... of the plugin's slurm-partition-config.
"""
LESS = "ask for less in the profile's config.yaml (set-resources, set-threads, group-components)"
BY_GRES = "take `gpus_by_gres` in in the profile's config.yaml"
PATIENCE = 60  # seconds that a command of Slurm's may take
# Reasons of squeue that no waiting ends, and what does.
NEVER = {
    "PartitionTimeLimit": "its `runtime` is over the partition's: " + LESS,
    "PartitionNodeLimit": "its `nodes` are more than the partition's: " + LESS,
    "PartitionConfig": "no node has so much: " + LESS,
    "BadConstraints": "no node has what it asks for: " + LESS,
    "InvalidAccount": "name your account in the profile: slurm_account",
    "AccountNotAllowed": "name another account in the profile (slurm_account), or take the partition out of the list",
    "InvalidQOS": "name a quality of service that you may use in the profile: slurm-qos",
    "QOSNotAllowed": "name another quality of service in the profile: slurm-qos",
}
UNITS = re.compile(r"(?=.)(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
CLOCK = re.compile(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?")  # two numbers are hours and minutes to the plugin
NEVER_LIMIT = re.compile(r"(Assoc|QOS)Max.*Per(Job|Node).*")


@dataclass(frozen=True)
class Request:
    """What a job asks Slurm for: cores, megabytes, minutes, GPUs."""

    threads: int = 1
    mem_mb: int = 0
    runtime: int = 0
    gpu: int = 0
    partition: str | None = None  # the only one that will do

    def __str__(self) -> str:
        gpus = f", {self.gpu} GPU{'s' * (self.gpu > 1)}" if self.gpu else ""
        return f"{self.threads} CPU{'s' * (self.threads > 1)}, {self.mem_mb} MB, {self.runtime} min{gpus}"


@dataclass(frozen=True)
class Partition:
    """The most that one job may ask for of a partition, in the units of a request."""

    name: str
    max_threads: float = math.inf
    max_mem_mb: float = math.inf
    max_runtime: float = math.inf
    max_gpu: float = 0

    def __str__(self) -> str:
        limits = {"CPUs": self.max_threads, "MB": self.max_mem_mb, "min": self.max_runtime, "GPUs": self.max_gpu}
        return f"{self.name}: " + ", ".join(f"{limit:.0f} {unit}" for unit, limit in limits.items())

    def refusal(self, request: Request) -> str | None:
        """What of a request is too much, in words; None where it fits."""
        amounts = {
            "CPUs": (request.threads, self.max_threads),
            "MB": (request.mem_mb, self.max_mem_mb),
            "min": (request.runtime, self.max_runtime),
            "GPUs": (request.gpu, self.max_gpu),
        }
        too_much = [f"{limit:.0f} {unit}" for unit, (asked, limit) in amounts.items() if asked > limit]
        return f"`{self.name}` has {' and '.join(too_much)} at most" if too_much else None


@dataclass(frozen=True)
class Site:
    """A Slurm as its commands describe it."""

    partitions: list[Partition]
    default: str | None  # the partition of who names none
    gres_only: bool  # whether GPUs are to be had by --gres alone


def site() -> Site:
    """Ask the Slurm of this machine. Raises InputError where there is none, or it does not answer."""
    nodes: dict[str, list[tuple[int, int, int]]] = {}
    for line in _output("sinfo", "-h", "-a", "-e", "-o", "%R|%c|%m|%G").splitlines():
        name, threads, memory, gres = line.split("|")
        nodes.setdefault(name, []).append((int(threads), int(memory), _gpus(gres)))
    partitions, default = [], None
    for line in _output("scontrol", "show", "partition", "-o").splitlines():
        keys = dict(word.split("=", 1) for word in line.split() if "=" in word)
        name = keys["PartitionName"]
        if keys["State"] != "UP" or name not in nodes:
            continue
        threads, memory, gpus = (max(amounts) for amounts in zip(*nodes[name], strict=True))
        partitions.append(
            Partition(
                name,
                max_threads=min(threads, _at_most(keys.get("MaxCPUsPerNode"))),
                max_mem_mb=min(memory, _at_most(keys.get("MaxMemPerNode"))),
                max_runtime=math.inf if keys["MaxTime"] == "UNLIMITED" else _minutes(keys["MaxTime"]),
                max_gpu=gpus,
            )
        )
        default = name if keys.get("Default") == "YES" else default
    select = re.search(r"^SelectType\s*=\s*(\S+)", _output("scontrol", "show", "config"), re.M)
    return Site(partitions, default, gres_only=select is not None and select[1] != "select/cons_tres")


def _output(*command: str) -> str:
    if not shutil.which(command[0]):
        raise InputError(f"{command[0]}: not found; call this where Slurm's commands are, on a login node")
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        raise InputError(f"{' '.join(command)}: no answer within {PATIENCE} s; try again") from None
    if done.returncode:
        raise InputError(f"{' '.join(command)}: {done.stderr.strip() or f'exit code {done.returncode}'}")
    return done.stdout


def _gpus(gres: str) -> int:
    """GPUs of a node, of all its models: `gpu:a100:4(S:0-1),gpu:v100:2` has 6."""
    return sum(int(count) for count in re.findall(r"\bgpu(?::[^:,(]+)?:(\d+)", gres))


def _at_most(text: str | None) -> float:
    return int(text) if text and text.isdigit() and int(text) else math.inf


def _minutes(text: str) -> float:
    """Minutes of a time in the forms that the plugin takes, Slurm's days-hours:minutes:seconds among them.

    Raises InputError for others.
    """
    if text.replace(".", "", 1).isdigit():
        return float(text)
    if found := UNITS.fullmatch(text) or CLOCK.fullmatch(text):
        days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
        return days * 1440 + hours * 60 + minutes + (seconds + 30) // 60
    raise InputError(f"{text!r} is no time: write minutes, or as in 2-12:00:00")


def read_partitions(file: Path) -> list[Partition]:
    """The partitions of a file as the executor plugin reads it; limits of other kinds are the plugin's alone.

    Raises InputError naming the file and the mend.
    """
    try:
        partitions = yaml.safe_load(file.read_text())["partitions"] or {}
        known = {field.name for field in fields(Partition)}
        return [
            Partition(
                str(name),
                **{
                    key: _minutes(value) if key == "max_runtime" and isinstance(value, str) else float(value)
                    for key, value in (limits or {}).items()
                    if key in known
                },
            )
            for name, limits in partitions.items()
        ]
    except InputError as error:
        raise InputError(f"{file}: {error}") from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, yaml.YAMLError) as error:
        why = str(error).splitlines()[0] if isinstance(error, OSError) else "not a list of partitions and their limits"
        raise InputError(f"{file}: {why}; write it anew by `emflow cluster`") from None


def write_partitions(file: Path, partitions: Iterable[Partition]) -> list[str]:
    """Write what `read_partitions` reads, atomically; return the lines of what was there and is so no longer."""
    limits = {
        partition.name: {
            key: int(value) for key, value in asdict(partition).items() if key != "name" and value not in (0, math.inf)
        }
        for partition in partitions
    }
    try:
        before = yaml.safe_load(file.read_text())["partitions"].items() if file.exists() else ()
        replaced = [f"{name}: {old}" for name, old in before if old != limits.get(name)]
    except (ValueError, TypeError, KeyError, AttributeError, yaml.YAMLError):
        replaced = ["a file that lists no partitions"]
    write_text(file, HEADER + yaml.safe_dump({"partitions": limits}, sort_keys=False))
    return replaced


def usable_partitions(file: Path, by_gpus: bool) -> list[Partition]:
    """Where jobs can go: the partitions of the file, or Slurm's default one if it lists none. Empty: not known here.

    `by_gpus` says that a job asks by --gpus. Raises InputError where this machine's Slurm does not take that, or lacks
    a partition of the file.
    """
    listed = read_partitions(file)
    try:
        here = site()
    except InputError:  # no cluster's machine
        return listed
    if by_gpus and here.gres_only:
        raise InputError(f"this Slurm gives GPUs by --gres alone: {BY_GRES}")
    if absent := {partition.name for partition in listed} - {partition.name for partition in here.partitions}:
        names = ", ".join(sorted(absent))
        raise InputError(f"{file}: this Slurm has no partition {names}; write the file anew by `emflow cluster`")
    return listed or [partition for partition in here.partitions if partition.name == here.default]


def fitting(job: str, request: Request, partitions: Iterable[Partition]) -> list[str]:
    """Names of the partitions that take a job's request; none if none are known.

    Raises InputError where all refuse it, with what of it each refuses and the mend.
    """
    candidates = [partition for partition in partitions if request.partition in (None, partition.name)]
    refusals = {partition.name: partition.refusal(request) for partition in candidates}
    if refusals and all(refusals.values()):
        raise InputError(f"{job} asks for {request}, but {', '.join(filter(None, refusals.values()))}; {LESS}")
    return [name for name, refusal in refusals.items() if refusal is None]


def never_starts(run: str) -> list[str]:
    """Of the jobs named `run` in Slurm's queue those that no waiting starts, each with its reason and the mend.

    Empty where Slurm does not answer: it may do so the next time.
    """
    command = ["squeue", "-h", "-n", run, "-t", "PENDING", "-o", "%i|%r|%k"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        return []
    found = []
    for line in done.stdout.splitlines():
        job, reason, comment = line.split("|", 2)
        if mend := NEVER.get(reason) or (LESS if NEVER_LIMIT.fullmatch(reason) else None):
            found.append(f"{comment} (Slurm job {job}) never starts: {reason}; {mend}")
    return found
