# What can be known before a job starts is said then, by `snakemake -n` too; jobs in processes of their own ask no more.
import shutil

from snakemake.logging import logger

from emflow.files import clear_leftovers
from emflow.preflight import absent_files, absent_secrets, faults
from emflow.studies import remember

PLANS_ONLY = workflow.output_settings.dryrun
FETCHES_ONLY = any(word.endswith("fetch_all") for word in sys.argv)
UNLOCKS_ONLY = "--unlock" in sys.argv
ABSENT_FILES = absent_files(CONFIG, RESULTS) if workflow.is_main_process else {}


def refuse(lines, only_say=False):
    """End here where there is something to mend."""
    said = "\n  ".join(["this study cannot run yet:", *lines])
    if lines and only_say:
        logger.warning(said)
    elif lines:
        raise WorkflowError(said)


if workflow.is_main_process:
    try:
        refuse(faults(CONFIG, RESULTS))
    except InputError as error:
        raise WorkflowError(str(error))
    # what is still to be brought here stops no plan, no fetching of the rest and no unlocking
    secrets = absent_secrets(CONFIG, RESULTS) if PLANS_ONLY else []
    refuse([*ABSENT_FILES.values(), *secrets], only_say=PLANS_ONLY or FETCHES_ONLY or UNLOCKS_ONLY)


def whole_study(wildcards):
    """What `all` makes. Keys are asked for here: who asks for less, until a rule or by files, may need none."""
    settings = workflow.dag_settings
    if not (PLANS_ONLY or settings.until or settings.omit_from):
        refuse(absent_secrets(CONFIG, RESULTS))
    more = [*rules.homework.output] if CONFIG.report.homework else []
    more += OF_DIRECTIONS
    more += [*rules.trajectory.output] if CONFIG.transition else []
    return [*rules.tabulate.output, *rules.report.output, *more]


def begin():
    """Before the first job. A report that is to be made anew goes, so that none stands in its place if a job fails."""
    try:
        remember(CONFIG, RESULTS)
        clear_leftovers(RESULTS.root)
    except (InputError, OSError) as error:
        end(f"nothing can be written to {RESULTS.root}: {error}" if isinstance(error, OSError) else str(error))
    if workflow.touch:
        return
    stages = (rules.tabulate, rules.homework, rules.report, rules.rate_interventions, rules.trajectory)
    made_anew = [rule.rule.name for rule in stages]
    for job in workflow.dag.needrun_jobs():
        if job.rule.name in made_anew:
            for path in map(Path, job.output):
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
