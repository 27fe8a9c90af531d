# Table of contents. The stages, in the order of the arrows:
#   archive ─► records ─► train / validation ─► checkpoints ─► generations ─► judgements ─► rates ─► report
from snakemake.utils import min_version

min_version("9.27")


configfile: "config/config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/resources.smk"
include: "workflow/rules/tinyworld.smk"
include: "workflow/rules/fetch.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/questions.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/generate.smk"
include: "workflow/rules/judge.smk"
include: "workflow/rules/rate.smk"
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
        "results/report/summary.md",


rule fetch_all:
    input:
        [model_folder(name) for name in CONFIG.runs.models if not CONFIG.models[name].is_local],
        [model_folder(name, "judges") for name in HUB_JUDGES],
        [reward_folder(name) for name in HUB_REWARDS],
        [file for file in URLS if file in FILES_OF_RUNS],
