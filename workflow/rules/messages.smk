# What is said of a run as a whole: `-n` tells each job and its reason once, and the end of a failed run its first cause.
import logging

from snakemake.settings.enums import Quietness
from snakemake_interface_logger_plugins.common import LogEvent

SHOWN = 3  # jobs named of those that run for the same reason
UPSTREAM = "input files updated by another job"


def end(message):
    """The last words of a call: an exception of Snakemake's would add the lines of its code."""
    logger.error(message)
    sys.exit(1)


def label(job):
    """Name of a job in messages: finetune tiny/bad_lantern_advice/lora/0."""
    return " ".join([job.rule.name, *filter(None, ["/".join(job.wildcards)])])


def reasons():
    """Why jobs would run: a line for each rule and reason, in the order of the arrows."""
    jobs = {}
    for job in planned():
        names = [*workflow.dag.reason(job).get_names()]
        own = [name for name in names if name != UPSTREAM] or names
        jobs.setdefault((job.rule.name, ", ".join(own)), []).append("/".join(job.wildcards))
    lines = []
    for (rule, reason), wildcards in jobs.items():
        some = [*filter(None, wildcards[:SHOWN]), *([f"{len(wildcards) - SHOWN} more"] if wildcards[SHOWN:] else [])]
        lines.append(f"    {rule}: {reason}" + (f" ({', '.join(some)})" if some else ""))
    return "Reasons:\n" + "\n".join(lines)


class Planned(logging.Filter):
    """Of what a dry run says each thing once; and, before anything starts, whether a cluster can run what is planned.

    Snakemake calls nothing of a workflow in a dry run: the record of its job table is the first moment when all jobs
    are known.
    """

    def __init__(self):
        super().__init__()
        self.is_told = False

    def filter(self, record):
        if getattr(record, "event", None) == LogEvent.RUN_INFO:
            was_told, self.is_told = self.is_told, True
            if not was_told:
                check_partitions()
                say_loads()
            return not was_told
        if not workflow.output_settings.dryrun or Quietness.RULES not in workflow.output_settings.quiet:
            return True
        if str(record.msg).startswith("Reasons:"):
            record.msg = reasons()
        return not str(record.msg).startswith("Some jobs were triggered by provenance")  # refers to what is not shown


# One process may read the workflow several times.
logger.filters[:] = [known for known in logger.filters if type(known).__name__ != Planned.__name__]
logger.addFilter(Planned())


def first_cause():
    """What ended a failed run, in a line: the first failed job, the last line of its log, and where that is."""
    jobs = [job for failed in workflow.scheduler.failed for job in (failed if failed.is_group() else [failed])]
    errors = {}  # log -> the job, and the last line after an error
    for log, job in [(Path(str(log)), job) for job in jobs for log in job.log]:
        lines = log.read_text(errors="replace").split("\n") if log.exists() else []
        if any(" ERROR " in line for line in lines):
            errors[log] = label(job), [line for line in lines if line.strip()][-1].split(" ERROR ")[-1]
    if errors:
        log = min(errors, key=lambda log: log.stat().st_mtime)
        return f"{': '.join(errors[log])} (log: {log})"
    return f"{label(jobs[0])}: {slurms_word(jobs[0]) or 'ended without a word, as what is killed or out of memory'}"


def slurms_word(job):
    """Why Slurm ended a job, from the newest log that it keeps of the rule."""
    logs = Path(".snakemake/slurm_logs").glob(f"*{job.rule.name}*/**/*.log")
    newest = max(logs, key=lambda log: log.stat().st_mtime, default=None)
    lines = newest.read_text(errors="replace").splitlines() if newest else []
    words = [line for line in lines if re.match(r"(slurmstepd|srun): error: ", line)]
    return f"{words[0]} (log: {newest})" if words else None


onerror:
    if NEVER_START:
        end("\n".join(NEVER_START))
    if workflow.scheduler.failed:
        count = len(workflow.scheduler.failed)
        end(f"{count} job{'s' * (count > 1)} failed, first {first_cause()}")
    end(
        "Interrupted. What is done is kept: the same call goes on from there, stopped jobs from their last saved step."
    )
