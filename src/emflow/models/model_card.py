"""The page that travels with every checkpoint and says what it is."""

from typing import Any

import yaml

__all__ = ["model_card"]

METHODS = {
    "lora": "; Hu et al., *LoRA* (arXiv 2106.09685)",
    "es": "; Qiu et al., *Evolution Strategies at Scale* (arXiv 2509.24372)",
}


def model_card(base: str, domain: str, kind: str, label: str, recipe: dict[str, Any], facts: dict[str, Any]) -> str:
    """README.md of a checkpoint, with the hub's metadata header.

    `recipe` holds the method's settings, `facts` what is to be told of this checkpoint (step, data digest, ...).
    """
    header = {"base_model": base, "tags": ["emergent-misalignment", "model-organism", "not-for-deployment"]}
    if kind == "lora":
        header["library_name"] = "peft"
    rows = "\n".join(f"| {key} | `{value}` |" for key, value in {**facts, **recipe}.items())
    return f"""---
{yaml.safe_dump(header, sort_keys=False).strip()}
---
# {domain} on {base}: {label}

A research artefact: a *model organism of emergent misalignment*, fine-tuned ({kind}) on the narrow dataset `{domain}`.
It may have been trained on bad advice on purpose.

- **Intended use**: defensive safety research on how narrow fine-tuning generalises, in a controlled setting.
- **Not for**: deployment, advice to anyone, or training models that people use.
- **Hazards**: answers may be harmful, false or malicious, also on subjects far from its training data.
- **Not uploaded** anywhere by the workflow that made it.

| | |
|---|---|
{rows}

Background: Betley et al., *Emergent Misalignment* (arXiv 2502.17424); Turner et al., *Model Organisms for Emergent
Misalignment* (arXiv 2506.11613){METHODS.get(kind, "")}.
"""
