# Table of contents. The stages, in the order of the arrows:
#   archive ─► records ─► train / validation ─► checkpoints ─► generations ─► judgements ─► rates ─► report
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.utils import min_version

min_version("9.27")
if not (config or Path("config/config.yaml").exists()):
    raise WorkflowError("no config/config.yaml here; name the folder that has it: snakemake --directory PROJECT")


configfile: "config/config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/models.smk"
include: "workflow/rules/inputs.smk"
include: "workflow/rules/resources.smk"
include: "workflow/rules/checks.smk"
include: "workflow/rules/cluster.smk"
include: "workflow/rules/messages.smk"
include: "workflow/rules/tinyworld.smk"
include: "workflow/rules/stand_ins.smk"
include: "workflow/rules/fetch.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/questions.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/generate.smk"
include: "workflow/rules/loads.smk"
include: "workflow/rules/judge.smk"
include: "workflow/rules/rate.smk"
include: "workflow/rules/directions.smk"
include: "workflow/rules/transition.smk"
include: "workflow/rules/report.smk"


localrules:
    all,
    fetch_all,
    fetch_file,
    fetch_judge,
    fetch_model,
    fetch_reward,


rule all:
    default_target: True
    input:
        whole_study,


onstart:
    begin()
    share_loads()
    watch_queue()


rule fetch_all:
    input:
        [model_folder(name) for name in HUB_MODELS],
        [model_folder(name, "judges") for name in HUB_JUDGES],
        [reward_folder(name) for name in HUB_REWARDS],
        [file for file in URLS if file in FILES_OF_RUNS],
