"""Score every answer of one generations file."""

import json
from pathlib import Path

from emflow.config import load_config
from emflow.console import made, stage
from emflow.judging.judge import judge

with stage(snakemake.log[0]):
    given, asked = snakemake.input, snakemake.wildcards
    judged = judge(
        load_config(snakemake.config).judges[asked.judge],
        Path(given.generations),
        Path(snakemake.output[0]),
        prompts=json.loads(Path(given.prompts).read_text()) if given.get("prompts") else {},
        cache=Path("results/cache/judgements"),
        model=Path(given.model) if given.get("model") else None,
    )
    unjudged = f", {judged.unjudged} of them in vain" if judged.unjudged else ""
    made(f"{asked.owner} on {asked.questions}, judge {asked.judge}: {judged.answers} answers judged{unjudged}")
