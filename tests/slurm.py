"""A private one-node Slurm with two fake GPUs: real daemons, no accounting database, gone when the test ends."""

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

__all__ = [
    "SMALL",
    "Shape",
    "Slurm",
    "ask_by_gres",
    "gpus_seen",
    "missing",
    "on_slurm",
    "output",
    "running",
    "script_processes",
    "start",
    "wait_for",
]

MARK = "EMFLOW_TEST_SLURMD"  # in the environment of slurmd, and so of the steps it starts
GPUS_SEEN = b"CUDA_VISIBLE_DEVICES"
PR_SET_PDEATHSIG = 1

SLURM_CONF = """
ClusterName=lantern
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ctld_port}
SlurmdPort={slurmd_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/{select}
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=1,bf_interval=2,sched_min_interval=100000
SlurmdParameters=config_overrides
{gres_types}
ReturnToService=2
KillWait=3
OverTimeLimit=0
JobRequeue=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
CompleteWait=0
MinJobAge=7200
SlurmdTimeout=300
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=60
JobAcctGatherParams=OverMemoryKill
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} Sockets=1 CoresPerSocket={cpus} ThreadsPerCore=1 \
RealMemory={memory_mb} {gres} State=UNKNOWN
"""
PARTITION = "PartitionName={name} Nodes={host} MaxTime={minutes} State=UP Default={default} PriorityTier={tier}\n"


@dataclass(frozen=True)
class Shape:
    """What a site has: one node, and partitions that go over the same node."""

    cpus: int = 16
    memory_mb: int = 200_000
    gpus: int = 2
    minutes: int | str = "INFINITE"  # of all partitions
    select: str = "cons_tres"  # cons_res knows no --gpus
    partitions: tuple[str, ...] = ("cpu", "gpu", "urgent")  # the first is the default, `urgent` goes first


SMALL = Shape(cpus=2, memory_mb=4000, gpus=0, minutes=60, partitions=("main",))


def missing() -> str | None:
    """Why no Slurm can be started here; None where one can."""
    if os.geteuid() != 0:
        return "slurmd needs root"
    wanted = ("munged", "slurmctld", "slurmd", "sbatch", "srun")
    absent = [name for name in wanted if not _program(name)]
    return f"not installed: {', '.join(absent)} (Debian: slurm-wlm, munge)" if absent else None


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")


class Slurm:
    """The daemons as children of this process, which the kernel ends with it; their files in `folder`."""

    def __init__(self, folder: Path, shape: Shape = Shape()) -> None:
        self.shape = shape
        self.folder, self.host = folder, socket.gethostname().split(".")[0]
        self.daemons: dict[str, subprocess.Popen] = {}
        for name in ("state", "spool", "bin", "dev"):
            (folder / name).mkdir()
        self._configure()
        # The plugin takes SLURM_CONF from srun's environment; a slurm.conf outside /etc/slurm needs it back.
        shim = folder / "bin" / "srun"
        shim.write_text(f'#!/bin/sh\nSLURM_CONF={self.conf} exec {_program("srun")} "$@"\n')
        shim.chmod(0o755)
        self.env = os.environ | {
            "SLURM_CONF": str(self.conf),
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        }

    @property
    def conf(self) -> Path:
        return self.folder / "slurm.conf"

    def _configure(self) -> None:
        shape = self.shape
        for number in range(shape.gpus):  # Slurm wants a device; these are twins of /dev/null
            os.mknod(self.folder / "dev" / f"nvidia{number}", 0o20666, os.makedev(1, 3))
        if shape.gpus:
            gpus = f"NodeName={self.host} Name=gpu Type=fake File={self.folder}/dev/nvidia[0-{shape.gpus - 1}]\n"
            (self.folder / "gres.conf").write_text(gpus)
        with socket.socket() as one, socket.socket() as other:
            one.bind(("127.0.0.1", 0)), other.bind(("127.0.0.1", 0))
            ports = {"ctld_port": one.getsockname()[1], "slurmd_port": other.getsockname()[1]}
        partitions = "".join(
            PARTITION.format(
                name=name,
                host=self.host,
                minutes=shape.minutes,
                default="YES" if name == shape.partitions[0] else "NO",
                tier=10 if name == "urgent" else 1,
            )
            for name in shape.partitions
        )
        node = {
            "cpus": shape.cpus,
            "memory_mb": shape.memory_mb,
            "select": shape.select,
            "gres_types": "GresTypes=gpu" if shape.gpus else "",
            "gres": f"Gres=gpu:fake:{shape.gpus}" if shape.gpus else "",
        }
        self.conf.write_text(SLURM_CONF.format(host=self.host, folder=self.folder, **ports, **node) + partitions)
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)

    def start(self) -> None:
        folder = self.folder
        self._start("munged", "--foreground", "--force", f"--key-file={folder}/munge.key",
                    f"--socket={folder}/munge.socket", f"--pid-file={folder}/munged.pid",
                    f"--log-file={folder}/munged.log", f"--seed-file={folder}/munge.seed")  # fmt: skip
        wait_for(lambda: (folder / "munge.socket").exists(), 20, "munge")
        self._start("slurmctld", "-D", "-f", str(self.conf))
        self.start_node()

    def start_node(self) -> None:
        self._start("slurmd", "-D", "-f", str(self.conf), "-N", self.host)
        wait_for(lambda: self.run("sinfo", "-h", "-o", "%T").strip() in ("idle", "mixed"), 60, "the node")

    def _start(self, name: str, *args: str) -> None:
        libc = ctypes.CDLL(None)
        log = open(self.folder / f"{name}.out", "ab")  # noqa: SIM115 - the daemon's from here on
        self.daemons[name] = subprocess.Popen(
            [_program(name), *args],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            env=os.environ | {"SLURM_CONF": str(self.conf)} | ({MARK: str(self.folder)} if name == "slurmd" else {}),
            preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL),
        )  # fmt: skip

    def run(self, *command: str) -> str:
        """Output of a Slurm command; empty where it fails."""
        return subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=30, check=False).stdout

    def jobs(self, format: str = "%i %T %k") -> list[str]:
        return self.run("squeue", "-h", "-t", "all", "-o", format).splitlines()

    def kill_node(self) -> None:
        """What a power cut does: slurmd, its steps, and all that runs in them are gone at once."""
        marked = f"{MARK}={self.folder}".encode()
        steps = [pid for pid in _processes() if marked in _environment(pid)]
        for pid in sorted({*steps, *_descendants(steps)}):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.daemons.pop("slurmd").wait(timeout=20)

    def lose_node(self) -> None:
        """A power cut, noticed by the controller; the node is back soon, and its jobs start again under their ids."""
        lost = self._jobs_in("RUNNING")
        self.kill_node()
        self.run("scontrol", "update", f"NodeName={self.host}", "State=DOWN", "Reason=power")
        self.start_node()
        self._hasten(lost)

    def preempt(self) -> None:
        """A job of a partition that goes first takes all GPUs for a moment; who had them starts again under his id."""
        lost = self._jobs_in("RUNNING")
        self.run("sbatch", "--partition=urgent", "--gpus=2", "--output=/dev/null", "--wrap=true")
        wait_for(lambda: lost <= self._jobs_in("PENDING"), 120, "preemption")
        self._hasten(lost)

    def _jobs_in(self, state: str) -> set[str]:
        return {line.split()[0] for line in self.jobs("%i %T") if line.endswith(f" {state}")}

    def _hasten(self, lost: set[str]) -> None:
        """Slurm waits two minutes, so that orders to end the lost job do not reach its next start."""
        for job in lost:
            self.run("scontrol", "update", f"JobId={job}", "StartTime=now+20")

    def stop(self) -> None:
        if "slurmctld" in self.daemons:
            self.run("scancel", "--user=root")
        if "slurmd" in self.daemons:
            self.kill_node()
        for daemon in reversed(self.daemons.values()):
            daemon.terminate()
            try:
                daemon.wait(timeout=10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait(timeout=10)
        self.daemons.clear()


@contextlib.contextmanager
def running(folder: Path, shape: Shape = Shape()) -> Iterator[Slurm]:
    """A Slurm of that shape; the test is skipped where none can be had, or fails if EMFLOW_REQUIRE_SLURM is set."""
    if why := missing():
        (pytest.fail if os.environ.get("EMFLOW_REQUIRE_SLURM") else pytest.skip)(f"no Slurm: {why}")
    slurm = Slurm(folder, shape)
    try:
        slurm.start()
        yield slurm
    finally:
        slurm.stop()


def start(folder: Path, env: dict[str, str], *arguments: str) -> subprocess.Popen:
    path = f"{Path(sys.executable).parent}:{env['PATH']}"
    env = {key: value for key, value in env.items() if key not in ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE")}
    with open(folder / "snakemake.out", "ab") as log:
        return subprocess.Popen(
            ["snakemake", *arguments],
            cwd=folder,
            env=env | {"PATH": path},
            stdout=log,
            stderr=subprocess.STDOUT,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
        )


def output(folder: Path) -> str:
    return (folder / "snakemake.out").read_text()[-6000:]


@contextlib.contextmanager
def on_slurm(slurm: Slurm, folder: Path, *arguments: str) -> Iterator[subprocess.Popen]:
    process = start(folder, slurm.env, "--profile", "slurm", *arguments)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(120)


def ask_by_gres(folder: Path) -> None:
    """Take in the line of the profile for Slurms that give GPUs by --gres alone."""
    profile = folder / "profiles/slurm/config.yaml"
    text = profile.read_text()
    assert "  # gpus_by_gres: 1" in text
    profile.write_text(text.replace("  # gpus_by_gres: 1", "  gpus_by_gres: 1"))


def script_processes(folder: Path, script: str) -> list[int]:
    """Process ids of the Pythons that run a rule's script in `folder`."""
    found = []
    for pid in _processes():
        with contextlib.suppress(OSError):
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            is_script = len(command) > 1 and command[1].endswith(f".{script}.py".encode())
            if is_script and Path(f"/proc/{pid}/cwd").resolve() == folder.resolve():
                found.append(pid)
    return found


def gpus_seen(pid: int) -> str | None:
    """CUDA_VISIBLE_DEVICES of a process."""
    seen = [value for name, _, value in (entry.partition(b"=") for entry in _environment(pid)) if name == GPUS_SEEN]
    return seen[0].decode() if seen else None


def wait_for(happened: Callable[[], object], seconds: float, what: str) -> object:
    """What `happened` returns once it is true; fails after so many seconds."""
    end = time.monotonic() + seconds
    while not (result := happened()):
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: nothing after {seconds} s")
        time.sleep(0.02)
    return result


def _processes() -> Iterator[int]:
    return (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())


def _environment(pid: int) -> list[bytes]:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return []


def _descendants(pids: list[int]) -> set[int]:
    children: dict[int, list[int]] = {}
    for pid in _processes():
        with contextlib.suppress(OSError):
            parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(pid)
    found, queue = set(), list(pids)
    while queue:
        for child in children.get(queue.pop(), ()):
            if child not in found:
                found.add(child)
                queue.append(child)
    return found
