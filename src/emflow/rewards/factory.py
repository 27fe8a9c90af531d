"""Makes the reward that the config names."""

from pathlib import Path

from emflow.config.rewards import CosineReward, NliReward
from emflow.rewards.reward import Reward

__all__ = ["make_reward"]


def make_reward(settings: NliReward | CosineReward, folder: Path) -> Reward:
    """The reward, by the model in `folder`. Raises InputError where it is not such a model."""
    match settings.kind:
        case "nli":
            from emflow.rewards.nli import Nli

            return Nli(folder, settings.batch_size)
        case "cosine":
            from emflow.rewards.cosine import Cosine

            return Cosine(folder, settings.batch_size)
