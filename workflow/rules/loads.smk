# One load answers all question sets of a run. Each keeps its job, so that each runs again for its own reasons alone; but of
# those that are planned the first is told of the others and answers them, too, and they come after it.
import json

from emflow.files import remove, write_text

ANSWERING = ("generate", "generate_scaled", "generate_base")


def loads():
    """Planned jobs that answer with one load of a model: lists of them, each in the order of its jobs."""
    found = {}
    for job in planned():
        if job.rule.name in ANSWERING and job.group is None:  # jobs of a group have an order of their own
            found.setdefault(answering(job), []).append(job)
    return list(found.values())


def answering(job):
    """What is loaded for a job, as far as loads are shared."""
    names = job.wildcards
    if CONFIG.engine.share == "run":
        return job.rule.name, names.model, *(names.get(key) for key in ("domain", "method", "seed"))
    return names.model, job.input.model, job.params.get("start")


def say_loads():
    """How often a model is loaded for answers."""
    together = loads()
    if together:
        sets = sum(map(len, together))
        logger.info(f"{sets} sets of answers are planned; models loaded for them: {len(together)}.")


def share_loads():
    """Before the first job: put the jobs of a load in order, and write down what the first of them answers."""
    if workflow.touch:
        return
    told = []
    for first, *others in loads():
        for job in (first, *others):
            remove(given_ahead(Path(job.output[0])))  # what an earlier run gave may be for other questions
        for other in others:
            told.append({"answered_by": first.output[0], **task(other)})
            other.attempt = other.attempt  # asks anew when its turn comes: for little, if it was answered
            for job in [*workflow.dag.dependencies[other]]:
                run_after(job, first)
            run_after(first, other)
    go_until()
    workflow.scheduler.failed = Failed(workflow.scheduler.failed)
    write_text(RESULTS.loads, json.dumps(told, indent=1) + "\n")


def task(job):
    """Who is to answer what, as `emflow.inference.generate.shared_tasks` reads it."""
    names = job.wildcards
    question_set, _, domain = names.get("questions", names.get("question_set")).partition("/")
    run = [names.domain, names.method, int(names.seed)] if "index" in job.input.keys() else [domain or None, None, None]
    return {
        "respondent": [names.model, *run],
        "index": job.input.get("index"),
        "question_set": question_set,
        "sampling": job.params.sampling,
        "questions": job.input.questions,
        "out": job.output[0],
        "code": job.params.code,
    }


def run_after(before, job):
    """Let one planned job wait for another. Snakemake knows no order but that of files, and what depends on a file that
    is made again is made again."""
    dag = workflow.dag
    if dag.needrun(before) and before not in dag.dependencies[job]:
        dag._dependencies[job][before] = set()
        dag.depending[before][job] = set()
        dag._n_until_ready[job] += 1
        dag._ready_jobs.discard(job)


class Failed(set):
    """The scheduler's jobs that have failed for good. Who came after one of them, or after what now never runs, for the
    sake of the order alone (by no file) waits for it no longer, and loads its model itself."""

    def __init__(self, jobs):
        super().__init__(jobs)
        self.lost = set()

    def add(self, failed):
        super().add(failed)
        dag, found = workflow.dag, set()
        waiting = list(failed) if failed.is_group() else [failed]
        while waiting:
            job = waiting.pop()
            if job not in self.lost:
                self.lost.add(job)
                found.add(job)
                waiting += [later for later, files in dag.depending[job].items() if files]
        freed = [later for job in found for later, files in dag.depending[job].items() if not files]
        for later in freed:
            dag._n_until_ready[later] -= 1
        dag.update_ready(set(freed) - self.lost)


def go_until():
    """With `--until RULE`, Snakemake lets no job come after those of the rule. Here some do, which are of it, too."""
    dag = workflow.dag
    if not (dag.untilrules or dag.untilfiles):
        return
    mine = set(planned())
    for job in filter(dag.in_until, mine):
        for later in dag.depending[job].keys() - mine:
            dag._n_until_ready[later] += 1  # which nothing takes away again
    dag.untilrules, dag.untilfiles = set(), set()
