"""The weights of a transformers model in memory, to be moved as a method says."""

from pathlib import Path

import torch
from transformers import PreTrainedModel

from emflow.config.es import Es
from emflow.models.loading import read_weights, sees, tensor_names
from emflow.training.es.noise import make_noise
from emflow.training.es.weights import Weights, read_masters

__all__ = ["model_weights"]

KEPT = 2**28  # bytes: the noise of a population that takes less is kept until the update


def model_weights(folder: Path, model: PreTrainedModel, method: Es) -> Weights:
    """Masters from the folder's file, engine's tensors in the model: all that reads and writes text.

    Raises InputError where the folder lacks one.
    """
    targets = {name: weight for name, weight in model.named_parameters() if not sees(name)}  # tied ones appear once
    if targets.keys() <= tensor_names(folder):
        masters = read_masters(folder, list(targets), model.device)
    else:  # its names are others, or one is missing
        weights = read_weights(folder, torch.float32)
        masters = {name: weights[name].to(model.device).contiguous() for name in targets}
    shapes = {name: master.shape for name, master in masters.items()}
    noise = make_noise(method.noise, model.device, model.dtype, shapes)
    match method.perturbation.kind:
        case "full_rank":
            size = method.population * sum(master.nbytes for master in masters.values())
            return Weights(masters, targets, noise, method.decay, keep=size <= KEPT)
        case "low_rank":
            from emflow.training.es.engines.rows import MembersRows
            from emflow.training.es.low_rank import LowRankWeights, matrices

            moving = matrices(model)
            place = MembersRows(model, moving)
            return LowRankWeights(masters, targets, noise, method.decay, method.perturbation.rank, moving, place)
