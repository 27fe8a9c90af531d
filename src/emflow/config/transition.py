"""`transition`: rank-1 runs, checkpoint by checkpoint: whether and when their adapter turns."""

from collections.abc import Iterator, Mapping
from typing import Annotated

from pydantic import Field

from emflow.config.expansion import Evaluation, Expansion, Run
from emflow.config.finetune import Lora
from emflow.config.methods import Method
from emflow.config.section import Section, nearest
from emflow.config.types import Name, Once, Plain

__all__ = ["Transition", "check_transition", "runs_of_transition"]


class Transition(Section):
    """The path of a rank-1 adapter over training (Turner et al., arXiv 2506.11613, section 4). Runs are those of `runs`
    with these methods."""

    methods: Once[Name]
    """Names under `runs.methods`: LoRA of rank 1 on one matrix of one layer, with `checkpoint_steps`."""
    question_set: Plain
    """Question set on which EM is measured, among `runs.question_sets`."""
    judge: Plain
    """Whose scores count; one of `runs.judges`."""
    window: Annotated[int, Field(gt=0)] = 10
    """Steps to either side of a checkpoint, between which its local cosine is taken. Turner et al.: 5, 10 and 15."""
    threshold: Annotated[float, Field(ge=0)] = 0.0035
    """A vector that goes no further than this on either side of a checkpoint has no local cosine there. In units of the
    weights; Turner et al.: 0.002 for Llama, and for other domains than medical advice."""
    scales: Once[Annotated[float, Field(gt=0)]] = (5, 10, 20)
    """How many times the adapter counts when checkpoints answer once more, beside 1."""
    scaled_steps: Once[int] | None = None
    """Checkpoints that do, by step; null for all."""


def runs_of_transition(transition: Transition, study: Expansion) -> list[Run]:
    """The runs of the section's methods."""
    return [run for run in study.runs if run.method in transition.methods]


def check_transition(transition: Transition, study: Expansion, methods: Mapping[str, Method]) -> None:
    """Raises ValueError, one line that names the key, where the section does not fit the runs."""
    for name in transition.methods:
        if name not in study.methods:
            raise ValueError(f"transition.methods names '{name}', which no run has; {nearest(name, study.methods)}")
        for line in _faults(transition, methods[name]):
            raise ValueError(f"transition.{line.format(name=name)}")
    for run in runs_of_transition(transition, study):
        if Evaluation(transition.question_set, transition.judge) not in study.of(run):
            raise ValueError(
                f"transition.question_set: '{transition.question_set}' is not asked of {'/'.join(map(str, run))} and "
                f"judged by '{transition.judge}'; name it in runs.question_sets, and the judge in runs.judges"
            )
    if 1 in transition.scales:
        raise ValueError("transition.scales: 1 is the checkpoint as it is, which answers anyway: leave it out")


def _faults(transition: Transition, method: Method) -> Iterator[str]:
    if not (isinstance(method, Lora) and method.rank == 1 == len(method.target_modules) == len(method.layers or ())):
        yield "methods: '{name}' has not one adapter of rank 1: set rank: 1, one of target_modules and one of layers"
    elif method.checkpoint_steps is None:
        yield "methods: '{name}' keeps no checkpoints by steps: set its checkpoint_steps"
    else:
        steps, window = set(method.checkpoint_steps), transition.window
        if not any({step - window, step + window} <= steps for step in steps):
            yield f"window: no checkpoint of '{{name}}' has others {window} steps before and after it"
        if absent := sorted(set(transition.scaled_steps or ()) - steps):
            yield f"scaled_steps: '{{name}}' has no checkpoint at step {absent[0]}; name steps of its checkpoint_steps"
