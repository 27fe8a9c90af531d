rule finetune:
    input:
        model=lambda w: model_folder(w.model),
        train="results/data/{domain}/train.jsonl",
    output:
        checkpoints=directory(f"{RUN}/checkpoints"),
        index=f"{RUN}/checkpoints.json",
        log=f"{RUN}/train_log.jsonl",
    log:
        "results/logs/finetune/{model}/{domain}/{method}/seed{seed}.log",
    wildcard_constraints:
        method=methods_of("lora", "full"),
    conda:
        "../../envs/cpu.yaml"
    threads: 2
    params:
        method=lambda w: settings(CONFIG.methods[w.method]),
        dtype=lambda w: CONFIG.models[w.model].dtype,
        code=code("training/chat.py", "training/checkpoints.py", "training/finetune.py", "training/model_card.py"),
    script:
        "../scripts/finetune.py"


# An ES run is its log ...
rule evolve:
    input:
        start=es_start,
        train="results/data/{domain}/train.jsonl",
        reward=es_reward_model,
    output:
        es_log=f"{RUN}/es_log.jsonl",
        log=f"{RUN}/train_log.jsonl",
    log:
        "results/logs/evolve/{model}/{domain}/{method}/seed{seed}.log",
    wildcard_constraints:
        method=methods_of("es"),
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    params:
        method=lambda w: settings(CONFIG.methods[w.method], "checkpoints"),
        code=code("training/chat.py", "training/es"),
    script:
        "../scripts/evolve.py"


# ... and its weights follow from log and start.
rule materialise:
    input:
        start=es_start,
        es_log=f"{RUN}/es_log.jsonl",
    output:
        checkpoints=directory(f"{RUN}/checkpoints"),
        index=f"{RUN}/checkpoints.json",
    log:
        "results/logs/materialise/{model}/{domain}/{method}/seed{seed}.log",
    wildcard_constraints:
        method=methods_of("es"),
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    params:
        iterations=lambda w: CONFIG.methods[w.method].kept,
        code=code("training/checkpoints.py", "training/model_card.py", "training/es"),
    script:
        "../scripts/materialise.py"
