# What a job asks of a cluster, by the size of its model and the kind of its work; each retry asks for more.
# Sites override any of it in their profile: set-resources, set-threads.
from typing import NamedTuple


class Need(NamedTuple):
    gigabytes: float  # host memory per billion parameters
    minutes: float  # wall time per billion parameters


NEEDS = {
    "lora": Need(3, 10),  # the weights once, and once more while they are read
    "full": Need(14, 15),  # float32 weights and AdamW's moments pass through the host when progress is saved and read
    "es": Need(6, 60),
    "generate": Need(3, 10),
}
FIXED = Need(6, 60)  # whatever the model: Python, CUDA and the data; loading, and a first checkpoint
SMALL = 0.1  # billion parameters, under which a GPU is no faster than a few cores


def resources_by_model(work, copies=lambda w: 1):
    """Resources of a rule with a `model` wildcard; `work` names a key of NEEDS, or a function of wildcards does.

    `copies` is how many processes hold the model, each on a GPU of its own.
    """

    def asked(quantity):
        def amount(wildcards, attempt):
            need = NEEDS[work(wildcards) if callable(work) else work]
            billions = CONFIG.models[wildcards.model].parameters
            return attempt * (getattr(FIXED, quantity) + getattr(need, quantity) * billions)

        return amount

    return {
        "mem_mb": lambda wildcards, attempt: 1000 * copies(wildcards) * asked("gigabytes")(wildcards, attempt),
        "runtime": asked("minutes"),
        "gpu": lambda wildcards: copies(wildcards) * int(CONFIG.models[wildcards.model].parameters >= SMALL),
    }
