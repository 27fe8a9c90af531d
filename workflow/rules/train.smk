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
    conda:
        "../../envs/cpu.yaml"
    threads: 2
    resources:
        **resources_by_model(lambda w: CONFIG.methods[w.method].kind),
    params:
        method=lambda w: settings(CONFIG.methods[w.method]),
        model=lambda w: model_identity(w.model),
        dtype=lambda w: CONFIG.models[w.model].dtype,
        code=code("finetune", "training"),
    script:
        "../scripts/finetune.py"
