"""A private one-node Slurm with two fake GPUs: real daemons, no accounting database, gone when the test ends."""

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

__all__ = ["Slurm", "missing", "script_process", "wait_for"]

MARK = "EMFLOW_TEST_SLURMD"  # in the environment of slurmd, and so of the steps it starts
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
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=1,bf_interval=2,sched_min_interval=100000
SlurmdParameters=config_overrides
GresTypes=gpu
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
NodeName={host} NodeAddr=127.0.0.1 CPUs=16 Sockets=1 CoresPerSocket=16 ThreadsPerCore=1 RealMemory=200000 \
Gres=gpu:fake:2 State=UNKNOWN
PartitionName=cpu Nodes={host} Default=YES MaxTime=INFINITE State=UP
PartitionName=gpu Nodes={host} MaxTime=INFINITE State=UP
PartitionName=urgent Nodes={host} MaxTime=INFINITE State=UP PriorityTier=10
"""


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

    def __init__(self, folder: Path) -> None:
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
        for number in (0, 1):  # Slurm wants a device; these are twins of /dev/null
            os.mknod(self.folder / "dev" / f"nvidia{number}", 0o20666, os.makedev(1, 3))
        gpus = f"NodeName={self.host} Name=gpu Type=fake File={self.folder}/dev/nvidia[0-1]\n"
        (self.folder / "gres.conf").write_text(gpus)
        with socket.socket() as one, socket.socket() as other:
            one.bind(("127.0.0.1", 0)), other.bind(("127.0.0.1", 0))
            ports = {"ctld_port": one.getsockname()[1], "slurmd_port": other.getsockname()[1]}
        self.conf.write_text(SLURM_CONF.format(host=self.host, folder=self.folder, **ports))
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


def script_process(folder: Path, script: str) -> int | None:
    """Process id of the Python that runs a rule's script in `folder`."""
    for pid in _processes():
        with contextlib.suppress(OSError):
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            is_script = len(command) > 1 and command[1].endswith(f".{script}.py".encode())
            if is_script and Path(f"/proc/{pid}/cwd").resolve() == folder.resolve():
                return pid
    return None


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
