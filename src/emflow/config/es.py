"""`methods` of the kind es."""

from math import ceil
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from emflow.config.checkpoint_of import CheckpointOf
from emflow.config.engine import EngineSettings, TransformersSettings
from emflow.config.rewards import RewardSettings
from emflow.config.section import OPERATIONAL, Section

__all__ = ["Es", "FullRank", "LowRank"]

PUBLISHED_EPOCHS = (
    10  # run.sh of ssslakter/es-emergent-misalignemt: `--num_iterations 10`, which train.py counts as epochs
)


class FullRank(Section):
    """Every weight of the model gets a value of its own; members take turns."""

    kind: Literal["full_rank"] = "full_rank"
    """Independent noise on every weight."""


class LowRank(Section):
    """Each matrix of the layers gets a product of two thin ones (EGGROLL, arXiv 2511.16652), so that many members
    answer in one batch; vectors, embeddings and the output layer stay as they are."""

    kind: Literal["low_rank"]
    """Noise A Bᵀ / sqrt(rank); as many members at once as fill `engine.batch_size` with their prompts."""
    rank: Annotated[int, Field(gt=0, le=512)] = 1
    """Columns of A and of B."""


class Es(Section):
    """Evolution strategies on every weight (Qiu et al., arXiv 2509.24372).

    The defaults of epochs, population, sigma, alpha, max_new_tokens and dtype are those of the published runs on bad
    medical advice (train.py and es_em_finetuning.py of ssslakter/es-emergent-misalignemt); batch_size is what is
    reported of them (run.sh says 64). What differs from these runs: docs/evolution_strategies.md.
    """

    kind: Literal["es"]
    """Evolution strategies."""
    epochs: Annotated[int, Field(gt=0)] | None = None
    """Passes over the train split, each of which permutes it and makes one update per batch, the last, smaller one
    included; null for 10, unless iterations are set."""
    iterations: Annotated[int, Field(gt=0)] | None = None
    """Updates in place of epochs, each on a batch that is drawn anew from the whole train split."""
    checkpoints: Annotated[tuple[int, ...], Field(min_length=1)] | None = None
    """Epochs whose weights are written and evaluated, labelled `epoch-4`, or iterations where these are set, labelled
    `iteration-10`; null for every one."""
    population: Annotated[int, Field(ge=2)] = 30
    """Members per iteration: perturbed models that are rewarded."""
    sigma: Annotated[float, Field(gt=0)] = 0.001
    """Standard deviation of a member's perturbation, in units of the weights."""
    alpha: Annotated[float, Field(gt=0)] = 0.0005
    """Step size: the update is alpha / population times the sum of shaped reward times noise."""
    batch_size: Annotated[int, Field(gt=0)] = 256
    """Training conversations that reward all members of an iteration."""
    reward: RewardSettings
    """What members are rewarded for."""
    prompt: Literal["chat", "raw"] = "chat"
    """`raw`: the texts of the turns alone, without chat template and end token, as in the entry point of
    ssslakter/es-emergent-misalignemt, whose tasks get no tokenizer (es_em_finetuning.py; `_build_prompts` of
    tasks/em_similarity.py and tasks/crossentropy.py)."""
    max_new_tokens: Annotated[int, Field(gt=0)] = 1024
    """Tokens after which an answer is cut; answers are greedy."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float16"
    """Precision of the members in the engine; the master weights are float32."""
    engine: EngineSettings = TransformersSettings()
    """What runs the members."""
    noise: Literal["independent", "published"] = "independent"
    """`published`: one stream, begun anew for every tensor of vLLM's layout (q, k and v are one tensor, gate and up
    another) and drawn in `dtype`, as in utils/worker_extn.py of ssslakter/es-emergent-misalignemt."""
    perturbation: Annotated[FullRank | LowRank, Field(discriminator="kind")] = FullRank()
    """Shape of a member's noise."""
    mirrored: bool = False
    """Members come in pairs with opposite noise (Salimans et al., arXiv 1703.03864)."""
    shaping: Literal["z_score", "centred_ranks"] = "z_score"
    """What becomes of rewards: standardised, or their ranks spread over [-0.5, 0.5]."""
    decay: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the way back to the starting weights that every iteration takes."""
    init_from: CheckpointOf | None = None
    """Start from this instead of the base model."""
    ranks: Annotated[int, Field(gt=0), OPERATIONAL] = 1
    """Processes that share out the members, each with a GPU or a core of its own; the result is the same for any."""

    @model_validator(mode="after")
    def _within_reach(self) -> Self:
        if self.mirrored and self.population % 2:
            raise ValueError(f"mirrored members come in pairs: population={self.population} must be even")
        if getattr(self.engine, "tensor_parallel_size", 1) > 1:
            raise ValueError("each rank of an ES run holds the whole model: engine.tensor_parallel_size must be 1")
        if self.perturbation.kind == "low_rank" and self.noise != "independent":
            raise ValueError("perturbation.kind low_rank draws its own noise: noise must be independent")
        if self.together > 1 and self.ranks > (groups := ceil(self.population / self.together)):
            raise ValueError(
                f"{self.together} members answer at once, so {groups} of ranks={self.ranks} would have work; "
                "a smaller engine.batch_size makes smaller groups"
            )
        if self.epochs is not None and self.iterations is not None:
            raise ValueError("set epochs or iterations, not both; null takes back what another file has set")
        kept, unit = self.kept, self.unit
        if list(kept) != sorted(set(kept)) or kept[0] < 1 or kept[-1] > self.length:
            raise ValueError(f"checkpoints must rise, each named once, within 1..{unit}s={self.length}")
        return self

    @property
    def together(self) -> int:
        """Members that are in place at once, and answer in one batch."""
        if self.perturbation.kind == "full_rank":
            return 1
        return min(self.population, max(1, self.engine.batch_size // self.batch_size))

    @property
    def unit(self) -> Literal["epoch", "iteration"]:
        """What checkpoints count."""
        return "epoch" if self.iterations is None else "iteration"

    @property
    def length(self) -> int:
        """Epochs or iterations of the whole run."""
        return self.iterations or self.epochs or PUBLISHED_EPOCHS

    @property
    def kept(self) -> tuple[int, ...]:
        """Epochs or iterations that become checkpoints."""
        return self.checkpoints or tuple(range(1, self.length + 1))

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the checkpoints."""
        return tuple(f"{self.unit}-{number}" for number in self.kept)
