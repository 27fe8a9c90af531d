# What a job asks for, by what it does: cores, memory and time by the size of its model, GPUs, and the environment that has
# what it needs. Each retry asks for more. Sites override any of it in their profile: set-resources, set-threads.
from typing import NamedTuple

from emflow.progress_file import given_ahead


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
DEFAULT_RESOURCES = {name for name, _ in workflow.resource_settings._parsed_default_resources.items()}
GRES = "gpus_by_gres" in DEFAULT_RESOURCES
SMALL = 0.1  # billion parameters, under which a GPU is no faster than a few cores
# Whatever the size of the model. What is not named here is in the profile: default-resources.
FIXED = Need(6, 60)  # Python, CUDA and the data; loading, and a first checkpoint
FIXED_SMALL = Need(1.8, 20)  # the same without CUDA; with all retries within an hour, and two beside each other in 4 GB
WITHOUT_MODEL = {
    "look up": Need(1.5, 3),  # seconds, of which most are Python's start
    "grow": Need(2, 20),
    "report": Need(2, 15),
    "ask an endpoint": Need(1.5, 30),  # answers are kept: a job that ran out of time goes on
}


class Work(NamedTuple):
    """What a job does with a model."""

    need: str  # a key of NEEDS, or of WITHOUT_MODEL
    model: object  # what is loaded: an entry of `models` or `judges`; None where no model is
    engine: object = None  # what runs it, where it is an engine of the config; else torch alone
    copies: int = 1  # processes that hold the model


def gpus(work):
    """GPUs of a job: as many as its engine spreads each copy over, none for small models that torch alone runs.

    vLLM wants a GPU for a small model, too: where it runs on a CPU it is installed by hand, and nothing is asked of.
    """
    if work.model is None:
        return 0
    if getattr(work.engine, "kind", None) == "vllm":
        return work.copies * work.engine.tensor_parallel_size
    return work.copies * int(work.model.parameters >= SMALL)


def environment(work_of=None):
    """The environment of a rule's jobs: one that asks for a GPU runs where CUDA is. `work_of` is None for rules that
    never load a model of the config."""
    if work_of is None:
        return "../../envs/cpu.yaml"
    return lambda wildcards: f"../../envs/{'gpu' if gpus(work_of(wildcards)) else 'cpu'}.yaml"


def cores(work_of):
    """CPU cores: a second one gains next to nothing with a small model, and runs another job instead."""

    def count(wildcards):
        work = work_of(wildcards)
        return work.copies * (2 if work.model is not None and work.model.parameters >= SMALL else 1)

    return count


def resources(work_of):
    """Memory, time and GPUs of a rule's jobs."""

    def asked(quantity):
        def amount(wildcards, attempt):
            work = work_of(wildcards)
            if work.model is None:
                return attempt * getattr(WITHOUT_MODEL[work.need], quantity)
            size = work.model.parameters
            fixed = FIXED if size >= SMALL else FIXED_SMALL
            return attempt * (getattr(fixed, quantity) + getattr(NEEDS[work.need], quantity) * size)

        return amount

    return {
        "mem_mb": lambda wildcards, attempt: 1000 * work_of(wildcards).copies * asked("gigabytes")(wildcards, attempt),
        "runtime": asked("minutes"),
        **devices(work_of),
    }


def devices(work_of):
    """GPUs of a rule's jobs, in the words that the profile says its Slurm takes: --gpus=2, or --gres=gpu:2."""
    if not GRES:
        return {"gpu": lambda wildcards: gpus(work_of(wildcards))}

    def gres(wildcards):
        count = gpus(work_of(wildcards))
        return f"gpu:{count}" if count else ""

    return {"gres": gres}


def growing(w):
    return Work("grow", None)


def reporting(w):
    return Work("report", None)


def finetuning(w):
    method = CONFIG.methods[w.method]
    return Work(method.kind, CONFIG.models[w.model], copies=method.ranks)


def evolving(w):
    method = CONFIG.methods[w.method]
    return Work("es", CONFIG.models[w.model], method.engine, copies=method.ranks)


def materialising(w):
    # where the noise was drawn: a GPU draws another than a CPU does
    return Work("generate", CONFIG.models[w.model], CONFIG.methods[w.method].engine)


def merging(w):
    return Work("generate", CONFIG.models[w.model])


def generating(w):
    return Work("generate", CONFIG.models[w.model], CONFIG.engine)


def unless_given(work_of, answers):
    """The work of a job that answers into this file: to look the answers up, where another job's load gave them."""

    def work(wildcards):
        out = Path(str(answers).format(**wildcards))
        return Work("look up", None) if given_ahead(out).exists() else work_of(wildcards)

    return work


def reading(w):
    return Work("generate", CONFIG.models[w.model])


def intervening(w):
    return Work("generate", CONFIG.models[w.target.split("/")[1]])


def judging(w):
    judge = CONFIG.judges[w.judge]
    match judge.kind:
        case "vllm" | "transformers":
            return Work("judge", judge, judge.engine)
        case "openai":
            return Work("ask an endpoint", None)
        case _:
            return Work("look up", None)
