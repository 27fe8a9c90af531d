"""What a model's own generation config adds to how answers are sampled, where a question set keeps it."""

import json
from pathlib import Path

from pydantic import ValidationError

from emflow.config.question_sets import Sampling
from emflow.files import InputError

__all__ = ["with_models_own"]

FILE = "generation_config.json"
TOP_K = 50  # where the file names none: transformers, generation/configuration_utils.py, default parameters
TAKEN = {"top_k", "repetition_penalty"}
WITHOUT_EFFECT = {  # on what is drawn; end tokens always count
    "do_sample", "temperature", "top_p", "max_length", "max_new_tokens",  # the question set has its own
    "bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id",
    "transformers_version", "_from_model_config", "use_cache", "cache_implementation",
}  # fmt: skip


def with_models_own(sampling: Sampling, folder: Path) -> Sampling:
    """`sampling` with `top_k` and `repetition_penalty` of the model in `folder`, where it keeps the model's.

    As transformers' `generate` does where its caller gives temperature and top_p. Raises InputError where the model has
    no such config, or where that asks for what the engines do not do.
    """
    if sampling.generation_config is None:
        return sampling
    key, file = "question_sets.NAME.generation_config", folder / FILE
    if not file.exists():
        raise InputError(f"{folder} has no {FILE}, whose sampling {key}: model keeps; set {key}: null")
    try:
        found = {name: value for name, value in json.loads(file.read_bytes()).items() if value is not None}
    except (ValueError, AttributeError, RecursionError):
        raise InputError(f"{file} is no JSON object: copy or fetch the folder again") from None
    if unknown := found.keys() - TAKEN - WITHOUT_EFFECT:
        raise InputError(
            f"{file} sets `{min(unknown)}`, which no engine here follows; set {key}: null, and top_k and "
            "repetition_penalty as you need them"
        )
    own = {"top_k": TOP_K, **{name: found[name] for name in TAKEN & found.keys()}, "generation_config": None}
    try:
        return type(sampling).model_validate({**sampling.identity(), **own})
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        raise InputError(f"{file}: {where}: {error.errors()[0]['msg']}; mend the file, or set {key}: null") from None
