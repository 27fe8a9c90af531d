"""Ranks: the processes of this machine that share one job, started here and ended with it.

They meet in a file that only their user can read, and talk over loopback: nothing listens to other machines. On several
machines, the same job file is run by torchrun on each.
"""

import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType

from emflow import gpus
from emflow.console import RANK_USED
from emflow.files import InputError

__all__ = ["LOST", "RENDEZVOUS", "RankLost", "as_rank", "run_ranks"]

ERROR = "error: "
LOST = "another rank is gone"
RENDEZVOUS = "EMFLOW_RENDEZVOUS"  # in the environment: where ranks meet, as a URL of torch's; torchrun's own without it


class RankLost(Exception):
    """Another rank is gone, or has come to other results."""


def run_ranks(module: ModuleType, job: Path, ranks: int, threads: int = 1) -> None:
    """Run `python -m MODULE job` as so many processes, with `threads` CPU threads each, and a GPU where there are any.

    Raises InputError with the error of the rank that failed, and where there are fewer GPUs than ranks.
    """
    if 0 < (seen := len(gpus.visible())) < ranks:
        raise InputError(
            f"{ranks} ranks want a GPU each, and {seen} can be seen: fewer by methods.NAME.ranks, or more by "
            "--resources gpu=N"
        )
    with TemporaryDirectory() as folder, ExitStack() as stack:
        store = Path(folder) / "store"
        command = [sys.executable, "-m", module.__name__, str(job)]
        failed = _failed([stack.enter_context(_start(command, rank, ranks, threads, store)) for rank in range(ranks)])
    if failed:
        raise InputError(f"{failed}; see the rule's log; another start continues from what is saved")


@contextmanager
def as_rank() -> Iterator[None]:
    """What one rank does happens inside; it exits with one line for errors that the user can mend, or that another rank
    has caused, and ends with whoever started it."""
    if RENDEZVOUS in os.environ:
        threading.Thread(target=_end_with_stdin, daemon=True).start()
    try:
        yield
        sys.stderr.write(f"{RANK_USED}{json.dumps(gpus.used())}\n")  # for the log, of which costs are read
    except (InputError, RankLost) as error:
        sys.stderr.write(f"{ERROR}{error}\n")  # at once: ranks share the stream
        sys.exit(1)


def _start(command: list[str], rank: int, ranks: int, threads: int, store: Path) -> subprocess.Popen[str]:
    """One rank; it ends when its stdin does, and so with this process, however that ends."""
    numbers = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": ranks, "LOCAL_WORLD_SIZE": ranks}
    given = {**os.environ, **{name: str(number) for name, number in numbers.items()}, "OMP_NUM_THREADS": str(threads)}
    loopback = {RENDEZVOUS: f"file://{store}", "GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"}
    return subprocess.Popen(
        command, env=given | loopback, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace"
    )


def _failed(processes: list[subprocess.Popen[str]]) -> str | None:
    """Wait for the ranks; once one fails, end the others and say why: in its own words, where it had any."""
    with ThreadPoolExecutor(len(processes)) as readers:
        reading = [readers.submit(_errors, process) for process in processes]
        try:
            while None in (codes := [process.poll() for process in processes]) and not any(codes):
                time.sleep(0.1)
        finally:
            for process in processes:
                process.kill()
    messages = [words.result() for words in reading]
    errors = [error for rank in messages for error in rank]
    own = [error for error in errors if LOST not in error]  # who lost a rank is not who failed
    died = [
        f"rank {rank} died with exit code {code}"
        for rank, (code, words) in enumerate(zip(codes, messages, strict=True))
        if code and not words
    ]
    return [*own, *died, *errors][0] if any(codes) else None


def _errors(process: subprocess.Popen[str]) -> list[str]:
    """What a rank says of its end; all else goes to the log."""
    errors = []
    for line in process.stderr or ():
        logging.getLogger("emflow.ranks").info(line.rstrip())
        if line.startswith(ERROR):
            errors.append(line.removeprefix(ERROR).strip())
    return errors


def _end_with_stdin() -> None:
    """Whoever started this process holds the other end of its stdin, and is gone when that closes."""
    while os.read(0, 1024):
        pass
    os._exit(1)
