rule finetune:
    input:
        unpack(lambda w: model_inputs(w.model)),
        train="results/data/{domain}/train.jsonl",
    output:
        checkpoints=directory(f"{RUN}/checkpoints"),
        index=f"{RUN}/checkpoints.json",
        log=f"{RUN}/train_log.jsonl",
    log:
        "results/logs/finetune/{model}/{domain}/{method}/seed{seed}.log",
    benchmark:
        "results/benchmarks/finetune/{model}/{domain}/{method}/seed{seed}.tsv"
    wildcard_constraints:
        method=methods_of("lora", "full"),
    conda:
        "../../envs/cpu.yaml"
    threads: cores_by_model
    resources:
        **resources_by_model(lambda w: CONFIG.methods[w.method].kind),
    params:
        method=lambda w: settings(CONFIG.methods[w.method]),
        model=lambda w: model_identity(w.model),
        dtype=lambda w: CONFIG.models[w.model].dtype,
        code=code(
            "finetune", "training/chat.py", "training/checkpoints.py", "training/finetune.py", "training/model_card.py"
        ),
    script:
        "../scripts/finetune.py"


# An ES run is its log ...
rule evolve:
    input:
        unpack(es_start),
        train="results/data/{domain}/train.jsonl",
        reward=es_reward_model,
    output:
        es_log=f"{RUN}/es_log.jsonl",
        log=f"{RUN}/train_log.jsonl",
    log:
        "results/logs/evolve/{model}/{domain}/{method}/seed{seed}.log",
    benchmark:
        "results/benchmarks/evolve/{model}/{domain}/{method}/seed{seed}.tsv"
    wildcard_constraints:
        method=methods_of("es"),
    conda:
        lambda w: f"../../envs/{'gpu' if CONFIG.methods[w.method].engine.kind == 'vllm' else 'cpu'}.yaml"
    threads: es_ranks
    resources:
        **resources_by_model("es", copies=es_ranks),
    params:
        model=lambda w: model_identity(w.model),
        method=lambda w: settings(CONFIG.methods[w.method], "checkpoints", "ranks"),
        code=code("evolve", "training/chat.py", "training/es", "inference"),
    script:
        "../scripts/evolve.py"


# ... and its weights follow from log and start.
rule materialise:
    input:
        unpack(es_start),
        es_log=f"{RUN}/es_log.jsonl",
    output:
        checkpoints=directory(f"{RUN}/checkpoints"),
        index=f"{RUN}/checkpoints.json",
    log:
        "results/logs/materialise/{model}/{domain}/{method}/seed{seed}.log",
    benchmark:
        "results/benchmarks/materialise/{model}/{domain}/{method}/seed{seed}.tsv"
    wildcard_constraints:
        method=methods_of("es"),
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        **resources_by_model("generate"),
    params:
        iterations=lambda w: CONFIG.methods[w.method].kept,
        code=code("materialise", "training/checkpoints.py", "training/model_card.py", "training/es"),
    script:
        "../scripts/materialise.py"
