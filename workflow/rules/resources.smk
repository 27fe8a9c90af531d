# What a job asks of a cluster, by the size of its model and the kind of its work; each retry asks for more.
# Sites override any of it in their profile: set-resources, set-threads.
from typing import NamedTuple


class Need(NamedTuple):
    gigabytes: float  # host memory per billion parameters
    minutes: float  # wall time per billion parameters


NEEDS = {
    "lora": Need(3, 10),  # the weights once, and once more while they are read
    "full": Need(14, 15),  # float32 weights and AdamW's moments pass through the host when progress is saved and read
    "es": Need(6, 30),
    "generate": Need(3, 10),
    "judge": Need(3, 10),
}
FIXED = Need(6, 60)  # whatever the model: Python, CUDA and the data; loading, and a first checkpoint
SMALL = 0.1  # billion parameters, under which a GPU is no faster than a few cores


def cores_by_model(wildcards):
    """CPU cores of a job: a second one gains next to nothing with a small model, and runs another job instead."""
    return 1 if CONFIG.models[wildcards.model].parameters < SMALL else 2


def resources_by_model(work, model=lambda wildcards: CONFIG.models[wildcards.model], copies=lambda wildcards: 1):
    """Resources of a rule that loads `model(wildcards)`; `work` names a key of NEEDS, or a function of wildcards does.

    `copies` is how many processes hold it, each on a GPU of its own.
    """

    def asked(quantity):
        def amount(wildcards, attempt):
            need = NEEDS[work(wildcards) if callable(work) else work]
            return attempt * (getattr(FIXED, quantity) + getattr(need, quantity) * model(wildcards).parameters)

        return amount

    return {
        "mem_mb": lambda wildcards, attempt: 1000 * copies(wildcards) * asked("gigabytes")(wildcards, attempt),
        "runtime": asked("minutes"),
        "gpu": lambda wildcards: copies(wildcards) * int(model(wildcards).parameters >= SMALL),
    }


def resources_of_judge():
    """A local judge asks as a model does; the others read, or wait for an endpoint."""
    loading = resources_by_model("judge", lambda wildcards: CONFIG.judges[wildcards.judge])

    def asked(quantity, otherwise):
        def amount(wildcards, attempt):
            local = judge_kind(wildcards) == "vllm"
            return loading[quantity](wildcards, attempt) if local else otherwise * attempt

        return amount

    return {
        "mem_mb": asked("mem_mb", 2000),
        "runtime": asked("runtime", 120),
        "gpu": lambda wildcards: loading["gpu"](wildcards) if judge_kind(wildcards) == "vllm" else 0,
    }
