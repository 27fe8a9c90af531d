# One job answers one question set with all checkpoints of a run (or with the base model) after one load.
rule generate:
    input:
        unpack(lambda w: model_inputs(w.model)),
        checkpoints=ancient(f"{RUN}/checkpoints"),  # the index holds their digests
        index=f"{RUN}/checkpoints.json",
        questions=lambda w: f"results/questions/{questions_for(w.question_set, w.domain)}.jsonl",
    output:
        f"{RUN}/generations/{{question_set}}.jsonl",
    log:
        "results/logs/generate/{model}/{domain}/{method}/seed{seed}/{question_set}.log",
    benchmark:
        "results/benchmarks/generate/{model}/{domain}/{method}/seed{seed}/{question_set}.tsv"
    conda:
        f"../../envs/{'gpu' if CONFIG.engine.kind == 'vllm' else 'cpu'}.yaml"
    threads: cores_by_model
    resources:
        **resources_by_model("generate"),
    params:
        sampling=lambda w: sampling(w.question_set),
        engine=settings(CONFIG.engine),
        model=lambda w: model_identity(w.model),
        dtype=lambda w: CONFIG.models[w.model].dtype,
        code=code("generate", "inference"),
    script:
        "../scripts/generate.py"


rule generate_base:
    input:
        unpack(lambda w: model_inputs(w.model)),
        questions="results/questions/{questions}.jsonl",
    output:
        "results/base/{model}/generations/{questions}.jsonl",
    log:
        "results/logs/generate_base/{model}/{questions}.log",
    benchmark:
        "results/benchmarks/generate_base/{model}/{questions}.tsv"
    wildcard_constraints:
        questions=r"[^/.]+(/[^/]+)?",
    conda:
        f"../../envs/{'gpu' if CONFIG.engine.kind == 'vllm' else 'cpu'}.yaml"
    threads: cores_by_model
    resources:
        **resources_by_model("generate"),
    params:
        sampling=lambda w: sampling(w.questions.split("/")[0]),
        engine=settings(CONFIG.engine),
        model=lambda w: model_identity(w.model),
        dtype=lambda w: CONFIG.models[w.model].dtype,
        code=code("generate_base", "inference"),
    script:
        "../scripts/generate_base.py"


# The CSV of Harvard CS 2881, homework 0, for who asks for it: snakemake results/runs/.../model_generations.csv
rule export_answers:
    input:
        "results/{owner}/generations/{questions}.jsonl",
    output:
        "results/{owner}/exports/{questions}/{checkpoint}/model_generations.csv",
    log:
        "results/logs/export_answers/{owner}/{questions}/{checkpoint}.log",
    wildcard_constraints:
        questions=r"[^/.]+(/[^/]+)?",
        checkpoint=r"[^/]+",
    conda:
        "../../envs/cpu.yaml"
    params:
        code=code("inference/export.py"),
    script:
        "../scripts/export_answers.py"
