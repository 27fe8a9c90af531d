"""An adapter in the weights that it was trained on: a whole model, which a run can start from."""

from pathlib import Path

from emflow.files import replacing
from emflow.models.adapters import put_adapter
from emflow.models.chat_template import TemplateArguments
from emflow.models.loading import load_model, load_tokenizer

__all__ = ["merge"]


def merge(base: Path, adapter: Path, dtype: str, template: TemplateArguments, out: Path) -> None:
    """Write to the folder `out` the model in `base` with the adapter in the folder `adapter` added to its weights.

    Weights are rounded to `dtype` once more. Raises InputError where `base` holds no model.
    """
    model = put_adapter(load_model(base, dtype), adapter).merge_and_unload()
    with replacing(out) as folder:
        model.save_pretrained(folder)
        load_tokenizer(base, template).save_pretrained(folder)
