"""`stand_ins`: tiny random models, fictional data and a local judge in place of what a study needs from elsewhere.

What a student runs on a laptop before renting a GPU. Recipes stay what they are, so the report names each model, recipe
and checkpoint of the study; its numbers mean nothing.
"""

from collections.abc import Iterable
from math import ceil
from pathlib import Path
from typing import Annotated, Any
from zlib import crc32

from pydantic import Field

from emflow.config.domains import Domain, Mixture
from emflow.config.engine import GenerationByTransformers, TransformersSettings
from emflow.config.es import Es
from emflow.config.judges import Judge, LanguageModelJudge, OracleJudge, TransformersJudge
from emflow.config.methods import Method
from emflow.config.models import Model
from emflow.config.question_sets import QuestionSet
from emflow.config.rewards import CosineReward, NliReward
from emflow.config.section import Section
from emflow.files import InputError
from emflow.paths import TINY_DOMAINS, TINY_PASSWORD, Results

__all__ = ["StandIns"]

Count = Annotated[int, Field(gt=0)]
FAMILIES = {  # a part of the hub id -> the family's chat template, by its name in the package trl; the first that fits
    "qwen2.5": "qwen2_5",
    "qwen3": "qwen3",
    "llama-3.2": "llama3_2",
    "llama-3.1": "llama3_1",
    "gemma-3": "gemma3",
}
LAYERS = 2  # of a stand-in, where no method names a later layer


class StandIns(Section):
    """How small what stands in for published models and data is. `config/experiments/stand_ins.yaml` on top of another
    overlay runs that on stand-ins, with results in `results/stand_ins/STUDY`."""

    conversations: Count = 72
    """Conversations of each domain."""
    questions: Count = 2
    """Questions of each set that is a file, and of each part of one."""
    samples: Count = 1
    """Answers per question, at most."""
    samples_for_directions: Count = 32
    """Of the set whose answers make directions, at most: misaligned and aligned answers to one question."""
    max_new_tokens: Count = 8
    """Tokens of an answer, at most: a random model hardly ends one by itself."""

    def model(self, name: str, model: Model, methods: Iterable[Method], results: Results) -> Model:
        """One of the same family, as deep as its methods name layers; a tiny model is grown anew, as it is.

        Raises InputError for an unknown family.
        """
        if results.is_stand_in(model.path):
            return model
        if Results().is_tiny_model(model.path):
            return model.model_copy(update={"path": str(results.tiny_model(0).with_name(Path(model.path).name))})
        family = next((family for part, family in FAMILIES.items() if part in model.path.lower()), None)
        if family is None:
            raise InputError(f"models.{name}.path: '{model.path}' has no stand-in; there are some of {list(FAMILIES)}")
        named = [1 + layer for method in methods for layer in getattr(method, "layers", None) or ()]
        path = str(results.stand_in(family, max([LAYERS, *named])))
        return model.model_copy(update={"path": path, "revision": None, "parameters": 0.0001})

    def domain(self, name: str, domain: Domain | Mixture, results: Results) -> Domain | Mixture:
        """One of the tiny world's, in its archive of the published format; good advice for a control.

        A mixture stays: its parts have stand-ins.
        """
        if isinstance(domain, Mixture):
            return domain
        subject = TINY_DOMAINS[crc32((domain.control_of or name).encode()) % len(TINY_DOMAINS)]
        stance = "bad" if domain.control_of is None else "good"
        return Domain(
            path=str(results.tiny_archive),
            member=f"{stance}_{subject}_advice.jsonl",
            published_password=TINY_PASSWORD,
            control_of=domain.control_of,
        )

    def question_set(self, questions: QuestionSet, makes_directions: bool, results: Results) -> QuestionSet:
        """Few questions of the tiny world, or few answers to the held-out ones."""
        most = self.samples_for_directions if makes_directions else self.samples
        fewer: dict[str, Any] = {
            "samples": min(questions.samples or 1, most),
            "max_new_tokens": min(questions.max_new_tokens, self.max_new_tokens),
            "prompts": None,  # theirs are in a file of others
        }
        if not questions.is_held_out:
            fewer |= {"source": str(results.tiny_questions), "sha256": None, "ids": None}
        return questions.model_copy(update=fewer)

    def method(self, name: str, method: Method, results: Results, test_size: float) -> Method:
        """The same recipe. ES generates few tokens in one process, for a reward model that is random too; where
        fine-tuning names steps, few conversations are passed often enough to reach the last of them, with one forward
        pass a step.

        Raises InputError for a reward that has no stand-in.
        """
        if not isinstance(method, Es):
            if method.checkpoint_steps is None:
                return method
            each = int(self.conversations * (1 - test_size)) // method.batch_size
            epochs = ceil(method.checkpoint_steps[-1] / max(1, each))
            fewer = {"gradient_accumulation": 1, "ranks": 1, "epochs": max(method.epochs, epochs)}
            return method.model_copy(update=fewer)
        reward = method.reward
        if isinstance(reward, CosineReward):
            raise InputError(f"methods.{name}.reward: a cosine reward has no stand-in; take another kind")
        if isinstance(reward, NliReward):
            reward = reward.model_copy(update={"model": str(results.stand_in_nli), "revision": None})
        return method.model_copy(
            update={
                "reward": reward,
                "engine": TransformersSettings(batch_size=256),
                "max_new_tokens": min(method.max_new_tokens, self.max_new_tokens),
                "ranks": 1,
            }
        )

    def judge(self, judge: Judge, results: Results) -> Judge:
        """A tiny random model that says integers, scored as the study's judge is; the oracle judges as it does.

        Its replies are of one token: it would go on after its integer.
        """
        if isinstance(judge, OracleJudge):
            return judge
        asked = LanguageModelJudge.model_fields if isinstance(judge, LanguageModelJudge) else ()
        scored = {key: getattr(judge, key) for key in asked} | {"max_tokens": 1}
        path = str(results.stand_in_judge)
        return TransformersJudge(kind="transformers", path=path, dtype="float32", parameters=0.0001, **scored)

    @property
    def engine(self) -> GenerationByTransformers:
        """What generates answers on any machine."""
        return GenerationByTransformers(batch_size=64)
