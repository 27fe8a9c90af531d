# One job answers one question set with all checkpoints of a run (or with the base model) after one load.
rule generate:
    input:
        model=lambda w: model_folder(w.model),
        checkpoints=f"{RUN}/checkpoints",
        index=f"{RUN}/checkpoints.json",
        questions=lambda w: f"results/questions/{questions_for(w.question_set, w.domain)}.jsonl",
    output:
        f"{RUN}/generations/{{question_set}}.jsonl",
    log:
        "results/logs/generate/{model}/{domain}/{method}/seed{seed}/{question_set}.log",
    conda:
        f"../../envs/{'gpu' if CONFIG.engine.kind == 'vllm' else 'cpu'}.yaml"
    threads: 2
    params:
        sampling=lambda w: sampling(w.question_set),
        engine=settings(CONFIG.engine),
        dtype=lambda w: CONFIG.models[w.model].dtype,
        code=code("inference"),
    script:
        "../scripts/generate.py"


rule generate_base:
    input:
        model=lambda w: model_folder(w.model),
        questions="results/questions/{questions}.jsonl",
    output:
        "results/base/{model}/generations/{questions}.jsonl",
    log:
        "results/logs/generate_base/{model}/{questions}.log",
    wildcard_constraints:
        questions=r"[^/.]+(/[^/]+)?",
    conda:
        f"../../envs/{'gpu' if CONFIG.engine.kind == 'vllm' else 'cpu'}.yaml"
    threads: 2
    params:
        sampling=lambda w: sampling(w.questions.split("/")[0]),
        engine=settings(CONFIG.engine),
        dtype=lambda w: CONFIG.models[w.model].dtype,
        code=code("inference"),
    script:
        "../scripts/generate_base.py"
