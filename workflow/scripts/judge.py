"""Score every answer of one generations file."""

import json
from pathlib import Path

from pydantic import TypeAdapter

from emflow.config.judges import Judge
from emflow.console import finished, stage
from emflow.files import read_sealed
from emflow.judging.judge import judge
from emflow.judging.prompts import Prompts
from emflow.paths import Results

if __name__ == "__main__":  # vLLM may start processes that read this file once more
    with stage(snakemake.log[0], snakemake.resources):
        given, names = snakemake.input, snakemake.wildcards
        judged = judge(
            # from the config, not from params: these lack the operational keys
            TypeAdapter(Judge).validate_python(snakemake.config["judges"][names.judge]),
            Path(given.generations),
            Path(snakemake.output[0]),
            prompts=Prompts(**json.loads(read_sealed(given.prompts))) if given.get("prompts") else None,
            cache=Results().judgement_cache,
            model=Path(given.model) if given.get("model") else None,
        )
        unjudged = f", {judged.unjudged} of them in vain" if judged.unjudged else ""
        finished(f"{names.owner} on {names.questions}, judge {names.judge}: {judged.answers} answers judged{unjudged}")
