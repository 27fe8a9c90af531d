# Jobs that no partition of a Slurm can run are told before anything starts, and those that its queue never lets go then.
import signal
import threading
import time
from itertools import chain, repeat

from snakemake.resources import GroupResources

from emflow.cluster import Request, fitting, never_starts, usable_partitions

ON_SLURM = "at_once" in DEFAULT_RESOURCES  # the profile; a dry run knows nothing of its executor
PARTITIONS = PROJECT / "profiles/slurm/partitions.yaml"
NEVER_START = []  # jobs that wait in Slurm's queue for what will not come, each with reason and mend

if ON_SLURM and workflow.output_settings.dryrun:
    workflow.global_resources["_cores"] = None  # else one, of which no job could ask for more


def planned():
    """Jobs that will run, in the order of the arrows."""
    levels = workflow.dag.toposorted(set(workflow.dag.needrun_jobs(exclude_finished=False)))
    return [job for level in levels for job in sorted(level, key=lambda job: (job.rule.name, *job.wildcards))]


def number(amount):
    return int(amount) if isinstance(amount, (int, float)) else 0


def request(job):
    asked = job.resources
    if job.is_group():  # a dry run would add up what its jobs ask for, as if all ran at once
        asked = GroupResources.basic_layered(job.toposorted, job.global_resources, run_local=False)
    gres = re.fullmatch(r"gpu(?::[^:]+)?:(\d+)", str(asked.get("gres", "")))
    return Request(
        threads=asked["_cores"],
        mem_mb=number(asked.get("mem_mb")),
        runtime=number(asked.get("runtime")),
        gpu=int(gres[1]) if gres else number(asked.get("gpu")),
        partition=asked.get("slurm_partition"),
    )


def submissions():
    """Planned jobs and groups of jobs that go to the cluster, each once, with a name for messages."""
    told = set()
    for job in planned():
        group = workflow.dag.get_job_group(job)
        if group is not None:
            if group not in told:
                told.add(group)
                yield f"group {group.groupid}", group
        elif not (job.rule.norun or job.rule.name in workflow._localrules):
            yield job.rule.name, job


def check_partitions():
    """Say where planned jobs fit. End with the first that fits nowhere, and what to do."""
    if not ON_SLURM:
        return
    file = getattr(workflow.executor_settings, "partition_config", None) or PARTITIONS
    file = Path(os.path.relpath(file))
    counts = {}
    for name, job in submissions():
        asked = (name, request(job))
        counts[asked] = counts.get(asked, 0) + 1
    lines = []
    try:
        partitions = usable_partitions(file, by_gpus=not GRES and any(asked.gpu for _, asked in counts))
        for (name, asked), count in counts.items():
            names = fitting(name, asked, partitions)
            lines.append(f"    {count} x {name}: {asked}" + (f" -> {', '.join(names)}" if names else ""))
    except InputError as error:
        end(str(error))
    if lines:
        logger.info("Asked of Slurm, and the partitions that have it:\n" + "\n".join(lines))


def watch(run):
    """End a run of which nothing is left but jobs that Slurm never starts."""
    for seconds in chain((10, 20, 40, 80), repeat(180)):
        time.sleep(seconds)
        found = never_starts(run)
        if found and len(found) >= len(workflow.scheduler.running):
            NEVER_START.extend(found)
            os.kill(os.getpid(), signal.SIGINT)
            return


def watch_queue():
    """Watch the queue of a run that has just started, where it is Slurm's."""
    sent = [job for _, job in submissions()] if ON_SLURM else []
    run = getattr(workflow.scheduler.get_executor(sent[0]), "run_uuid", None) if sent else None
    if run:
        threading.Thread(target=watch, args=[run], daemon=True).start()
